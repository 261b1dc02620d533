"""What became of each layer on the device, and what the file costs."""

import dataclasses
import math
import os
import pathlib
from collections import Counter
from typing import Any

import larq as lq
import numpy as np
import tf_keras as keras
from kbnn.converters import flatbuffer, lce
from kbnn.converters.flatbuffer import Operator
from kbnn.converters.lint import Verdict, kernel_layers, lint
from kbnn.converters.verify import Parity
from rich.console import Console, Group
from rich.table import Table

from kbnn.training.rewrite import layers_of

BINARY_CONVOLUTION = "LceBconv2d"

# The operators that a real-valued layer with a kernel can become.
_REAL_OPERATORS = (
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "TRANSPOSE_CONV",
    "CONV_3D",
    "BATCH_MATMUL",
)

# Seen on files of 3 to 40 operators: tensors' names and shapes, operators' options, signature.
_BYTES_PER_FILE = 1200
_BYTES_PER_OPERATOR = 310


@dataclasses.dataclass(frozen=True)
class LayerReport:
    """One layer with a kernel.

    Attributes:
        layer: the Keras layer's name.
        kind: its class.
        operator: the device operator that it became; "" if none was found.
        output: "bit-packed", "float32", ... of that operator.
        bytes: its weights, biases and thresholds in the file.
        macs: multiply-accumulates for one image; None where Larq cannot count them.
        note: why it is not binary, or its output not packed; "" if there is nothing to say.
    """

    layer: str
    kind: str
    operator: str
    output: str
    bytes: int
    macs: int | None
    note: str

    @property
    def binary(self) -> bool:
        """Whether it runs as a binary convolution."""
        return self.operator == BINARY_CONVOLUTION


@dataclasses.dataclass(frozen=True)
class Report:
    """The outcome of a conversion: per layer and for the whole file.

    Attributes:
        layers: the layers with a kernel, in the model's order.
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
        return sum(self.operators.get(name, 0) for name in _REAL_OPERATORS)

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
            macs = "?" if layer.macs is None else f"{layer.macs:,}"
            table.add_row(
                *(layer.layer, layer.kind, layer.operator, layer.output),
                *(f"{layer.bytes:,}", macs, layer.note),
            )
        line = f"file: {self.file_bytes:,} bytes ({self.predicted_bytes:,} predicted)"
        return Group(table, line, *([] if self.parity is None else [self.parity]))

    def __str__(self) -> str:
        console = Console(width=120)
        with console.capture() as capture:
            console.print(self)
        return capture.get()


@dataclasses.dataclass(frozen=True)
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


def build_report(device_model: keras.Model, content: bytes) -> Report:
    """Match a file's operators with the layers of the model that it was converted from.

    A binary convolution is found by its filters, bit for bit (LCE may flip all of a channel's), so
    that the match also shows that the file holds the model's weights; a real-valued layer by
    operator and kernel shape, in order.
    """
    operators = flatbuffer.read(content).operators
    remaining = list(operators)
    verdicts = {verdict.layer: verdict for verdict in lint(device_model)}
    layers = []
    for layer in kernel_layers(device_model):
        verdict = verdicts[layer.name]
        found = _take(layer, verdict, remaining)
        output = output_kind(found[-1]) if found else ""
        note = verdict.problem or verdict.note
        if not found and verdict.binary:
            note = "LCE's converter left it real-valued"
        elif verdict.binary and output != "bit-packed" and not note:
            note = "real outputs: its user is no sign, or more than one layer uses it"
        layers.append(
            LayerReport(
                layer=layer.name,
                kind=verdict.kind,
                operator=found[0].name if found else "",
                output=output,
                # A shared layer's operators share their constants in the file.
                bytes=found[0].constant_bytes if found else 0,
                macs=_macs(layer),
                note=note,
            )
        )
    return Report(
        layers=layers,
        operators=dict(Counter(operator.name for operator in operators)),
        file_bytes=len(content),
        predicted_bytes=predicted_bytes(device_model),
    )


def predicted_bytes(device_model: keras.Model) -> int:
    """The file's size, predicted from the model.

    Binary kernels take a bit a weight, their input channels filled up to 32, and 4 bytes a channel
    for the threshold or 8 for scale and bias; other weights 4 bytes, batch normalization folded
    into the layer before it; operators a typical size each.
    """
    size = _BYTES_PER_FILE
    binary = {verdict.layer for verdict in lint(device_model) if verdict.binary}
    for layer in layers_of(device_model):
        size += _BYTES_PER_OPERATOR if not isinstance(layer, _FREE_LAYERS) else 0
        if layer.name in binary:
            *window, channels, filters = layer.kernel.shape
            size += math.prod(window) * filters * math.ceil(channels / 32) * 4 + 8 * filters
        elif not isinstance(layer, keras.layers.BatchNormalization):
            size += 4 * sum(math.prod(weight.shape) for weight in layer.weights)
    return size


# Layers that leave no operator of their own.
_FREE_LAYERS = (
    keras.layers.InputLayer,
    keras.layers.BatchNormalization,
    keras.layers.Dropout,
)


def _take(layer: keras.layers.Layer, verdict: Verdict, remaining: list[Operator]) -> list[Operator]:
    """Remove a layer's operators from those that remain."""
    if verdict.binary:
        kernel = np.sign(layer.get_weights()[0])
        found = [operator for operator in remaining if _holds(operator, kernel)]
    else:
        shape = sorted(layer.get_weights()[0].shape)
        found = [
            operator
            for operator in remaining
            if operator.name in _REAL_OPERATORS and _kernel_shape(operator) == _plain(shape)
        ]
    uses = max(1, len(layer.inbound_nodes))
    found = found[:uses]
    for operator in found:
        remaining.remove(operator)
    return found


def _holds(operator: Operator, kernel: np.ndarray) -> bool:
    """Whether a binary convolution has these filters, each up to its sign."""
    if operator.name != BINARY_CONVOLUTION or kernel.ndim != 4:
        return False
    packed = operator.inputs[1]
    if packed is None or packed.data is None or packed.shape[0] != kernel.shape[-1]:
        return False
    filters = flatbuffer.unpack_filters(packed.data, kernel.shape[2])
    if filters.shape != kernel.shape:
        return False
    return bool(np.all(np.abs((filters * kernel).sum(axis=(0, 1, 2))) == kernel[..., 0].size))


def _kernel_shape(operator: Operator) -> list[int] | None:
    kernel = operator.inputs[1] if len(operator.inputs) > 1 else None
    return None if kernel is None else _plain(sorted(kernel.shape))


def _plain(shape: list[int]) -> list[int]:
    """A kernel's sizes without ones, whatever their order is in Keras and on the device."""
    return [size for size in shape if size != 1]


def _macs(layer: keras.layers.Layer) -> int | None:
    try:
        return lq.models.LayerProfile(layer).op_count("mac")
    except (AttributeError, NotImplementedError):
        return None


def _port(port: flatbuffer.Port) -> dict[str, Any]:
    return {
        "name": port.name,
        "shape": list(port.shape),
        "dtype": None if port.dtype is None else port.dtype.name,
    }
