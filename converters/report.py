"""Reports what became of each layer on the device, and what a file holds."""

import dataclasses
import os
from typing import Any

import numpy as np
from rich.console import Console, Group
from rich.table import Table

from kbnn.converters.device_file import read_device_file
from kbnn.converters.flatbuffer import Operator, Port
from kbnn.converters.parity import Parity

BINARY_CONVOLUTION = "LceBconv2d"

# The operators that a real-valued layer with a kernel can become.
REAL_OPERATORS = (
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "TRANSPOSE_CONV",
    "CONV_3D",
    "BATCH_MATMUL",
)


@dataclasses.dataclass(frozen=True)
class LayerReport:
    """One layer that multiplies by weights.

    Attributes:
        layer: the Keras layer's name.
        kind: the Keras layer's class.
        operator: the device operators that the layer became in all its calls, such as "LceBconv2d"
            or "2 x LceBconv2d"; "" if none was found.
        output: the output type of these operators, such as "bit-packed" or "float32", each with its
            number if they differ.
        binary: whether all of these operators are binary convolutions.
        bytes: the bytes of its weights, biases and thresholds in the file; None if no operator was
            found.
        macs: multiply-accumulates for one image in all its calls; None if they are not known
            (attention and recurrent layers, sizes that are not fixed).
        note: why the layer is not binary, or why its output is not bit-packed; "" for nothing.
        warning: what in front of the layer keeps the network from learning, and what to change; ""
            for nothing.
    """

    layer: str
    kind: str
    operator: str
    output: str
    binary: bool
    bytes: int | None
    macs: int | None
    note: str
    warning: str


@dataclasses.dataclass(frozen=True)
class Report:
    """The result of a conversion, for each layer and for the whole file.

    Attributes:
        layers: the layers that multiply by weights, in the model's order.
        operators: how often each device operator occurs.
        file_bytes: the size of the file.
        predicted_bytes: the size that was predicted from the model before the conversion.
        parity: the comparison with Keras; None if no data were given.
    """

    layers: list[LayerReport]
    operators: dict[str, int]
    file_bytes: int
    predicted_bytes: int
    parity: Parity | None = None

    @property
    def binary_ops(self) -> int:
        """How many device operators are binary convolutions."""
        return self.operators.get(BINARY_CONVOLUTION, 0)

    @property
    def float_ops(self) -> int:
        """How many device operators multiply by a real-valued kernel."""
        return sum(self.operators.get(name, 0) for name in REAL_OPERATORS)

    def to_dict(self) -> dict[str, Any]:
        """The report, ready for JSON."""
        return {
            "layers": [dataclasses.asdict(layer) for layer in self.layers],
            "operators": self.operators,
            "binary_ops": self.binary_ops,
            "float_ops": self.float_ops,
            "file_bytes": self.file_bytes,
            "predicted_bytes": self.predicted_bytes,
            "parity": None if self.parity is None else self.parity.to_dict(),
        }

    def __rich__(self) -> Group:
        table = Table(title="Layers on the device")
        for heading in ("layer", "kind", "device operator", "output"):
            table.add_column(heading)
        table.add_column("bytes", justify="right")
        table.add_column("MACs", justify="right")
        table.add_column("note")
        for layer in self.layers:
            table.add_row(
                *(layer.layer, layer.kind, layer.operator, layer.output),
                *(_number(layer.bytes), _number(layer.macs)),
                "; ".join(filter(None, (layer.warning, layer.note))),
            )
        line = f"file: {self.file_bytes:,} bytes ({self.predicted_bytes:,} predicted)"
        return Group(table, line, *([] if self.parity is None else [self.parity]))

    def __str__(self) -> str:
        return _text(self)


@dataclasses.dataclass(frozen=True, repr=False)
class FileReport:
    """What a `.tflite` file holds.

    Attributes:
        inputs: the inputs, each with `name`, `shape` and `dtype`.
        outputs: the outputs likewise.
        operators: the operators in the order of execution, each with `name`, `inputs`, `outputs`
            and `options`.
        file_bytes: the size of the file.
    """

    inputs: list[Port]
    outputs: list[Port]
    operators: list[Operator]
    file_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """The report without the weights, ready for JSON."""
        return {
            "inputs": [_port(port) for port in self.inputs],
            "outputs": [_port(port) for port in self.outputs],
            "operators": [
                {
                    "name": operator.name,
                    "output": output_kind(operator),
                    "shape": list(operator.outputs[0].shape),
                    "bytes": operator.constant_bytes,
                }
                for operator in self.operators
            ],
            "file_bytes": self.file_bytes,
        }

    def __rich__(self) -> Group:
        table = Table(title="Operators")
        for heading in ("operator", "output", "shape"):
            table.add_column(heading)
        table.add_column("bytes", justify="right")
        for operator in self.to_dict()["operators"]:
            shape = "x".join(map(str, operator["shape"]))
            table.add_row(operator["name"], operator["output"], shape, f"{operator['bytes']:,}")
        return Group(table, f"file: {self.file_bytes:,} bytes")

    def __repr__(self) -> str:
        return _text(self)


def inspect(path: str | os.PathLike) -> FileReport:
    """Read which operators a `.tflite` file holds. You do not need its model.

    Args:
        path: the file.

    Returns:
        A report that prints as a table, with these attributes:

            - `inputs`, `outputs`: each with `name`, `shape` and `dtype`.
            - `operators`: in the order of execution, each with `name` ("LceBconv2d", "CONV_2D",
              ...), `inputs`, `outputs` and `options`.
            - `file_bytes`: the size of the file.
            - `to_dict()` gives everything except the weights for JSON.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not a valid `.tflite` file.

    Example:

    >>> import kbnn, tempfile
    >>> model = kbnn.models.vgg_tiny((8, 8, 1), width=32)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = kbnn.converters.convert(model, f"{folder}/model.tflite").path
    ...     report = kbnn.converters.inspect(path)
    >>> [operator.name for operator in report.operators][:3]
    ['CONV_2D', 'LceQuantize', 'LceBconv2d']
    """
    file = read_device_file(path)
    return FileReport(
        file.graph.inputs, file.graph.outputs, file.graph.operators, len(file.content)
    )


def output_kind(operator: Operator) -> str:
    """`bit-packed`, or the type of an operator's first output."""
    (output, *_) = operator.outputs
    packed = operator.name in (BINARY_CONVOLUTION, "LceQuantize", "LceBMaxPool2d")
    if packed and output.dtype == np.int32:
        return "bit-packed"
    return "?" if output.dtype is None else output.dtype.name


def _text(report: Report | FileReport) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(report)
    return capture.get()


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _port(port: Port) -> dict[str, Any]:
    return {
        "name": port.name,
        "shape": list(port.shape),
        "dtype": None if port.dtype is None else port.dtype.name,
    }
