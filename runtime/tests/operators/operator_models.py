"""Build models of one or a few LCE operators with LiteRT's schema."""

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
    """A tensor of a model. It is a constant if it has values."""

    shape: tuple[int, ...]
    dtype: Any
    values: np.ndarray | None = None
    quantization: tuple[float, int] | None = None  # scale, zero point
    signature: tuple[int, ...] | None = None  # the shape, with -1 for free sizes

    @classmethod
    def constant(cls, values: np.ndarray) -> "Tensor":
        return cls(values.shape, values.dtype, values)


@dataclasses.dataclass
class Node:
    """An LCE operator, or an `ADD`, whose only option is `relu`. Tensors are given by index."""

    name: str
    inputs: list[int]
    outputs: list[int]
    options: dict[str, int] | bytes = b""


def operator_model(
    name: str, inputs: list[Tensor], output: Tensor, options: dict[str, int] | bytes = b""
) -> bytes:
    """Build a model of one custom operator, whose non-constant inputs are the model's."""
    node = Node(name, list(range(len(inputs))), [len(inputs)], options)
    return graph_model([*inputs, output], [node], node.outputs)


def graph_model(tensors: list[Tensor], nodes: list[Node], outputs: list[int]) -> bytes:
    """Build a model of several operators. Tensors that no node computes are inputs or constants."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs = 3, [graph]
    model.operatorCodes, model.buffers, graph.operators = [], [schema.BufferT()], []
    graph.tensors = [_pack_tensor(tensor, model.buffers) for tensor in tensors]
    given = {index for node in nodes for index in node.outputs}
    graph.inputs = [
        i for i, tensor in enumerate(tensors) if tensor.values is None and i not in given
    ]
    graph.outputs = outputs
    for node in nodes:
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.version, operator.opcodeIndex = 1, len(model.operatorCodes)
        operator.inputs, operator.outputs = node.inputs, node.outputs
        if node.name == "ADD":
            code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ADD
            operator.builtinOptionsType = schema.BuiltinOptions.AddOptions
            operator.builtinOptions = schema.AddOptionsT()
            operator.builtinOptions.fusedActivationFunction = dict(node.options).get("relu", 0)
        else:
            code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
            code.customCode = node.name
            packed = node.options
            if isinstance(packed, dict):
                packed = flexbuffers.Dumps(packed)
            operator.customOptions = np.frombuffer(bytes(packed), np.uint8)
        model.operatorCodes.append(code)
        graph.operators.append(operator)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _pack_tensor(tensor: Tensor, buffers: list[Any]) -> Any:
    packed = schema.TensorT()
    packed.shape, packed.type = list(tensor.shape), TYPES[np.dtype(tensor.dtype)]
    if tensor.signature is not None:
        packed.shapeSignature = list(tensor.signature)
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
    """A binary convolution, from which `model` builds a file and `reference` computes outputs."""

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
    input_size: tuple[int, int] = (1, 1)  # in the file; an interpreter may be resized

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

    def inputs(self) -> list[Tensor]:
        """Return the operator's five inputs."""
        from reference import pack

        channels = self.filters.shape[0]
        words = -(-self.channels_in // 32)
        return [
            Tensor((1, *self.input_size, words), np.int32),
            Tensor.constant(pack(self.filters)),
            _constant(self.multiplier, channels, np.float32),
            _constant(self.bias, channels, np.float32),
            _constant(self.thresholds, channels, np.int32),
        ]

    def model(self, **options: int) -> bytes:
        """Build the model. Keyword arguments override its options."""
        dtype = {"float32": np.float32, "int8": np.int8, "packed": np.int32}[self.output]
        output = Tensor((1, 1, 1, 1), dtype, quantization=self.quantization)
        return operator_model("LceBconv2d", self.inputs(), output, {**self.options(), **options})

    def residual_model(
        self, output_size: tuple[int, int], *, residual_first: bool = False, signs: bool = True
    ) -> bytes:
        """Build a model that adds the convolution and a second input, and quantizes the sum.

        `output_size` is the size of the convolution's output in the file, (rows, columns).
        Without `signs` the LceQuantize is left out.
        """
        channels = self.filters.shape[0]
        image = Tensor((1, *output_size, channels), np.float32)
        words = Tensor((1, *output_size, -(-channels // 32)), np.int32)
        tensors = [*self.inputs(), image, image, image, words]
        convolved, residual, total, packed = 5, 6, 7, 8
        addends = [residual, convolved] if residual_first else [convolved, residual]
        nodes = [
            Node("LceBconv2d", [0, 1, 2, 3, 4], [convolved], self.options()),
            Node("ADD", addends, [total]),
            Node("LceQuantize", [total], [packed]),
        ]
        return graph_model(
            tensors if signs else tensors[:-1],
            nodes if signs else nodes[:-1],
            [total, packed] if signs else [total],
        )


def _constant(values: np.ndarray | None, channels: int, dtype: Any) -> Tensor:
    return Tensor.constant(np.zeros(channels, dtype) if values is None else values.astype(dtype))
