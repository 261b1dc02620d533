"""Parses a `.tflite` file: its operators, their tensors and options."""

import functools
from typing import Any, NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from kbnn.converters.errors import ConversionError

TYPES: dict[int, np.dtype] = {
    schema.TensorType.FLOAT32: np.dtype(np.float32),
    schema.TensorType.FLOAT16: np.dtype(np.float16),
    schema.TensorType.INT32: np.dtype(np.int32),
    schema.TensorType.UINT8: np.dtype(np.uint8),
    schema.TensorType.INT64: np.dtype(np.int64),
    schema.TensorType.BOOL: np.dtype(np.bool_),
    schema.TensorType.INT8: np.dtype(np.int8),
    schema.TensorType.INT16: np.dtype(np.int16),
}

BUILTIN_NAMES: dict[int, str] = {
    number: name
    for name, number in vars(schema.BuiltinOperator).items()
    if not name.startswith("_")
}

LCE_OPERATORS = ("LceQuantize", "LceDequantize", "LceBconv2d", "LceBMaxPool2d")


class Tensor(NamedTuple):
    """A tensor of the file. `data` holds the values of a constant, and is None otherwise."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype | None
    data: np.ndarray | None

    @property
    def nbytes(self) -> int:
        """The bytes that the tensor takes in the file: 0 unless it is a constant."""
        return 0 if self.data is None else self.data.nbytes


class Operator(NamedTuple):
    """An operator. Its name is `CONV_2D`, `LceBconv2d`, ..."""

    name: str
    inputs: list[Tensor | None]
    outputs: list[Tensor]
    options: dict[str, Any]

    @property
    def constant_bytes(self) -> int:
        """The bytes of the operator's weights, biases and thresholds."""
        return sum(tensor.nbytes for tensor in self.inputs if tensor is not None)


class Port(NamedTuple):
    """An input or output of the model, with its name in the signature.

    A quantized one has a scale: `real = scale * (stored - zero_point)`.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype | None
    scale: float | None = None
    zero_point: int = 0


class Flatbuffer(NamedTuple):
    """The parts of a `.tflite` file that kbnn reads."""

    operators: list[Operator]
    inputs: list[Port]
    outputs: list[Port]


def read(content: bytes) -> Flatbuffer:
    """Parse a file's content, which LiteRT must have verified: see `device_file`.

    Raises:
        ValueError: the file has several subgraphs (control flow), or none.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    if len(model.subgraphs) != 1:
        raise ValueError(
            f"Expected a file with one subgraph. Received: {len(model.subgraphs)} subgraphs"
        )
    graph = model.subgraphs[0]

    @functools.cache
    def tensor(index: int) -> Tensor:
        found = graph.tensors[index]
        dtype = TYPES.get(found.type)
        shape = tuple(int(size) for size in found.shape) if found.shape is not None else ()
        raw = model.buffers[found.buffer].data
        data = None
        if raw is not None and len(raw) and dtype is not None:
            data = np.frombuffer(bytes(raw), dtype).reshape(shape)
        return Tensor(found.name.decode(), shape, dtype, data)

    def ports(indices: Any, names: dict[int, str]) -> list[Port]:
        return [
            Port(names.get(i, tensor(i).name), tensor(i).shape, tensor(i).dtype, *scale(i))
            for i in indices
        ]

    def scale(index: int) -> tuple[float | None, int]:
        found = graph.tensors[index].quantization
        if found is None or found.scale is None or len(found.scale) != 1:
            return None, 0
        return float(found.scale[0]), int(found.zeroPoint[0])

    operators = [
        Operator(
            operator_name(model.operatorCodes[operator.opcodeIndex]),
            [tensor(i) if i >= 0 else None for i in operator.inputs],
            [tensor(i) for i in operator.outputs],
            read_options(operator),
        )
        for operator in graph.operators
    ]
    signature = model.signatureDefs[0] if model.signatureDefs else None
    named_inputs = signature.inputs if signature else []
    named_outputs = signature.outputs if signature else []
    return Flatbuffer(
        operators,
        ports(graph.inputs, {port.tensorIndex: port.name.decode() for port in named_inputs}),
        ports(graph.outputs, {port.tensorIndex: port.name.decode() for port in named_outputs}),
    )


def computes_in_int8(operator: Operator) -> bool:
    """Whether an operator other than a type conversion has an int8 output."""
    return operator.name not in ("QUANTIZE", "DEQUANTIZE") and any(
        output.dtype == np.int8 for output in operator.outputs
    )


def check_operators(graph: Flatbuffer) -> None:
    """Raise ConversionError if a file has operators that LiteRT and kbnn-runtime cannot run."""
    known = {*BUILTIN_NAMES.values(), *LCE_OPERATORS}
    unknown = {
        operator.name: operator.outputs[0].name
        for operator in reversed(graph.operators)
        if operator.name not in known
    }
    if unknown:
        raise ConversionError(
            "Expected operations that TensorFlow Lite or LCE has an operator for. Received: "
            + ", ".join(f"{name} (at {tensor!r})" for name, tensor in unknown.items())
        )


def unpack_filters(packed: np.ndarray, channels: int) -> np.ndarray:
    """The +-1 filters of an `LceBconv2d`: int32 words, bit 1 means -1, lowest bit first.

    Args:
        packed: `(out, height, width, ceil(channels / 32))`, int32.
        channels: input channels of one filter.

    Returns:
        `(height, width, channels, out)`, float32: Keras's layout.
    """
    words = np.ascontiguousarray(packed.astype("<i4")).view(np.uint8)
    bits = np.unpackbits(words, axis=-1, bitorder="little")[..., :channels]
    return np.transpose(1.0 - 2.0 * bits.astype(np.float32), (1, 2, 3, 0))


def operator_name(code: Any) -> str:
    """The name of an operator, by its code in the schema's object API."""
    if code.customCode:
        return code.customCode.decode()
    # Older converters set only the 8-bit field, newer ones set both.
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return BUILTIN_NAMES[number]


def read_options(operator: Any) -> dict[str, Any]:
    """The options of an operator of the schema's object API."""
    if operator.customOptions is not None and len(operator.customOptions):
        loaded = flexbuffers.Loads(bytes(operator.customOptions))
        return loaded if isinstance(loaded, dict) else {}
    options = operator.builtinOptions
    return {} if options is None else dict(vars(options))
