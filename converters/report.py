"""What became of each layer on the device, and what the file costs."""

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np
from rich.console import Console, Group
from rich.table import Table

from kbnn.converters import flatbuffer, lce
from kbnn.converters.flatbuffer import Operator
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
        kind: its class.
        operator: the device operators that it became in all its uses, as "LceBconv2d" or
            "2 x LceBconv2d"; "" if none was found.
        output: "bit-packed", "float32", ... of these operators, each with its number where they
            differ.
        binary: all of these operators are binary convolutions.
        bytes: its weights, biases and thresholds in the file; None if no operator was found.
        macs: multiply-accumulates for one image, all uses added up; None where they are not known
            (attention and recurrent layers, sizes that are not fixed).
        note: why it is not binary, or its output not packed; "" if there is nothing to say.
    """

    layer: str
    kind: str
    operator: str
    output: str
    binary: bool
    bytes: int | None
    macs: int | None
    note: str


@dataclasses.dataclass(frozen=True)
class Report:
    """The outcome of a conversion: per layer and for the whole file.

    Attributes:
        layers: the layers that multiply by weights, in the model's order.
        operators: how often each device operator occurs.
        file_bytes: size of the file.
        predicted_bytes: the size predicted from the frozen model before it was converted.
        parity: the comparison with Keras; None if no data were given.
    """

    layers: list[LayerReport]
    operators: dict[str, int]
    file_bytes: int
    predicted_bytes: int
    parity: Parity | None = None

    @property
    def binary_ops(self) -> int:
        """Number of binary convolutions on the device."""
        return self.operators.get(BINARY_CONVOLUTION, 0)

    @property
    def float_ops(self) -> int:
        """Number of device operators that multiply by a real-valued kernel."""
        return sum(self.operators.get(name, 0) for name in REAL_OPERATORS)

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
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
                *(_number(layer.bytes), _number(layer.macs), layer.note),
            )
        line = f"file: {self.file_bytes:,} bytes ({self.predicted_bytes:,} predicted)"
        return Group(table, line, *([] if self.parity is None else [self.parity]))

    def __str__(self) -> str:
        return _text(self)


@dataclasses.dataclass(frozen=True, repr=False)
class FileReport:
    """What a `.tflite` file holds, read without the model that it was made of."""

    inputs: list[flatbuffer.Port]
    outputs: list[flatbuffer.Port]
    operators: list[Operator]
    file_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """All of it but the weights, ready for JSON."""
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
    """Read which operators a `.tflite` file holds.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a valid `.tflite` file.
    """
    content = pathlib.Path(path).read_bytes()
    lce.check_file(content, str(path))
    file = flatbuffer.read(content)
    return FileReport(file.inputs, file.outputs, file.operators, len(content))


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


def _port(port: flatbuffer.Port) -> dict[str, Any]:
    return {
        "name": port.name,
        "shape": list(port.shape),
        "dtype": None if port.dtype is None else port.dtype.name,
    }
