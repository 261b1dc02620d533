"""Models of one LCE operator each, built with the schema of LiteRT."""

import dataclasses
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.bool_): schema.TensorType.BOOL,
}


@dataclasses.dataclass
class Tensor:
    """A tensor of a model: of this shape and type, with these values if it is a constant."""

    shape: tuple[int, ...]
    dtype: Any
    values: np.ndarray | None = None
    quantization: tuple[float, int] | None = None  # scale, zero point

    @classmethod
    def constant(cls, values: np.ndarray) -> "Tensor":
        return cls(values.shape, values.dtype, values)


def operator_model(
    name: str, inputs: list[Tensor], output: Tensor, options: dict[str, int] | bytes = b""
) -> bytes:
    """A model of one custom operator, whose inputs that are no constants are the model's."""
    model = schema.ModelT()
    model.version = 3
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode, code.version = name, 1
    model.operatorCodes, model.buffers = [code], [schema.BufferT()]

    graph, operator = schema.SubGraphT(), schema.OperatorT()
    model.subgraphs, graph.operators = [graph], [operator]
    graph.tensors = [_pack_tensor(tensor, model.buffers) for tensor in [*inputs, output]]
    graph.inputs = [i for i, tensor in enumerate(inputs) if tensor.values is None]
    graph.outputs = [len(inputs)]
    operator.inputs, operator.outputs = list(range(len(inputs))), graph.outputs
    packed = flexbuffers.Dumps(options) if isinstance(options, dict) else options
    operator.customOptions = np.frombuffer(bytes(packed), np.uint8)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _pack_tensor(tensor: Tensor, buffers: list[Any]) -> Any:
    packed = schema.TensorT()
    packed.shape, packed.type = list(tensor.shape), TYPES[np.dtype(tensor.dtype)]
    if tensor.quantization is not None:
        packed.quantization = schema.QuantizationParametersT()
        packed.quantization.scale = [tensor.quantization[0]]
        packed.quantization.zeroPoint = [tensor.quantization[1]]
    if tensor.values is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(tensor.values).tobytes(), np.uint8)
        buffers.append(buffer)
        packed.buffer = len(buffers) - 1
    return packed


@dataclasses.dataclass
class Convolution:
    """A binary convolution in words a reader knows; `model` and `reference` are made of it."""

    filters: np.ndarray  # +-1, OHWI, the input channels of one group
    channels_in: int
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    padding: str = "valid"  # "valid", "one" or "zero"
    activation: str = "none"
    multiplier: np.ndarray | None = None
    bias: np.ndarray | None = None
    thresholds: np.ndarray | None = None
    output: str = "float32"  # "float32", "int8" or "packed"
    quantization: tuple[float, int] | None = None
    input_size: tuple[int, int] = (1, 1)  # in the file; an interpreter may be given another

    def options(self) -> dict[str, int]:
        return {
            "stride_height": self.strides[0],
            "stride_width": self.strides[1],
            "dilation_height_factor": self.dilations[0],
            "dilation_width_factor": self.dilations[1],
            "padding": int(self.padding == "valid"),
            "pad_values": int(self.padding == "one"),
            "channels_in": self.channels_in,
            "fused_activation_function": ["none", "relu", "relu_n1_to_1", "relu6"].index(
                self.activation
            ),
        }

    def model(self, **options: int) -> bytes:
        """The model, with these options in place of its own."""
        from reference import pack

        channels = self.filters.shape[0]
        words = -(-self.channels_in // 32)
        dtype = {"float32": np.float32, "int8": np.int8, "packed": np.int32}[self.output]
        inputs = [
            Tensor((1, *self.input_size, words), np.int32),
            Tensor.constant(pack(self.filters)),
            _constant(self.multiplier, channels, np.float32),
            _constant(self.bias, channels, np.float32),
            _constant(self.thresholds, channels, np.int32),
        ]
        output = Tensor((1, 1, 1, 1), dtype, quantization=self.quantization)
        return operator_model("LceBconv2d", inputs, output, {**self.options(), **options})


def _constant(values: np.ndarray | None, channels: int, dtype: Any) -> Tensor:
    return Tensor.constant(np.zeros(channels, dtype) if values is None else values.astype(dtype))
