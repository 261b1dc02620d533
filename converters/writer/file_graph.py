"""A `.tflite` file that can be changed: operators, tensors and constants."""

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from kbnn.converters.flatbuffer import TYPES, operator_name, read_options

_NUMBERS = {dtype: number for number, dtype in TYPES.items()}


class Operator:
    """An operator. Its tensors are numbers; -1 is an input that is left out.

    Attributes:
        name: `CONV_2D`, `LceQuantize`, ...
        inputs: the tensors that it takes.
        outputs: the tensors that it gives.
        options: the options of a custom operator; those of others are in `source`.
        source: the operator as the schema's object API has it; None for a new one.
    """

    def __init__(
        self,
        name: str,
        inputs: Iterable[int],
        outputs: Iterable[int],
        options: dict[str, Any] | None = None,
        source: Any = None,
    ) -> None:
        self.name = name
        self.inputs = list(map(int, inputs))
        self.outputs = list(map(int, outputs))
        self.options = options or {}
        self.source = source


class FileGraph:
    """The operators of a `.tflite` file that has no control flow.

    Args:
        content: a file that TensorFlow's converter wrote.

    Attributes:
        operators: the operators, in any order.
        model: the file as the schema's object API has it. Its operators are out of date.

    Raises:
        ValueError: the file has several subgraphs.
    """

    def __init__(self, content: bytes) -> None:
        self.model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        if len(self.model.subgraphs) != 1:
            raise ValueError(
                "Expected a model without control flow, such as tf.while_loop or a recurrent layer "
                f"that is not unrolled. Received: {len(self.model.subgraphs)} subgraphs"
            )
        self._graph = self.model.subgraphs[0]
        self._tensors = self._graph.tensors
        self.operators = [self._operator(source) for source in self._graph.operators]

    def producer(self, tensor: int) -> Operator | None:
        """The operator that gives a tensor; None for inputs and constants."""
        return next((one for one in self.operators if tensor in one.outputs), None)

    def users(self, tensor: int) -> list[Operator]:
        """The operators that take a tensor."""
        return [operator for operator in self.operators if tensor in operator.inputs]

    def only_user(self, tensor: int) -> Operator | None:
        """The only operator that takes a tensor; None if others do, or it is an output."""
        users = self.users(tensor)
        return users[0] if len(users) == 1 and not self.is_output(tensor) else None

    @property
    def inputs(self) -> list[int]:
        """The inputs of the model."""
        return list(map(int, self._graph.inputs))

    @property
    def outputs(self) -> list[int]:
        """The outputs of the model."""
        return list(map(int, self._graph.outputs))

    def is_output(self, tensor: int) -> bool:
        """Whether a tensor is an output of the model."""
        return tensor in self._graph.outputs

    def shape(self, tensor: int) -> tuple[int, ...]:
        """A tensor's shape, with 1 for sizes that are not fixed."""
        shape = self._tensors[tensor].shape
        return () if shape is None else tuple(map(int, shape))

    def dtype(self, tensor: int) -> np.dtype | None:
        """A tensor's type."""
        return TYPES.get(self._tensors[tensor].type)

    def constant(self, tensor: int) -> np.ndarray | None:
        """The values of a constant; None for other tensors, and for an input that is left out."""
        if tensor < 0:
            return None
        data = self.model.buffers[self._tensors[tensor].buffer].data
        dtype = self.dtype(tensor)
        if data is None or not len(data) or dtype is None:
            return None
        return np.frombuffer(bytes(data), dtype).reshape(self.shape(tensor))

    def add_constant(self, name: str, values: np.ndarray) -> int:
        """Add a constant."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        tensor = schema.TensorT()
        tensor.name = name.encode()
        tensor.shape = np.array(values.shape, np.int32)
        tensor.type = _NUMBERS[values.dtype]
        tensor.buffer = len(self.model.buffers) - 1
        return self._add_tensor(tensor)

    def add_packed(self, like: int) -> int:
        """Add a tensor for the packed signs of another tensor's values."""
        packed = copy.copy(self._tensors[like])
        packed.type = schema.TensorType.INT32
        packed.quantization = None
        packed.shape = _packed_shape(packed.shape)
        if packed.shapeSignature is not None:
            packed.shapeSignature = _packed_shape(packed.shapeSignature)
        return self._add_tensor(packed)

    def add_like(self, tensor: int) -> int:
        """Add a tensor of another one's shape and type."""
        return self._add_tensor(copy.copy(self._tensors[tensor]))

    def quantization(self, tensor: int) -> tuple[float, int] | None:
        """The only scale and zero point of a tensor; None if it has none, or one per channel."""
        found = self._tensors[tensor].quantization
        if found is None or found.scale is None or len(found.scale) != 1:
            return None
        return float(found.scale[0]), int(found.zeroPoint[0])

    def has_same_type(self, a: int, b: int) -> bool:
        """Whether two tensors have the same type, scale and zero point."""
        return self.dtype(a) == self.dtype(b) and self.quantization(a) == self.quantization(b)

    def copy_type(self, source: int, target: int) -> None:
        """Give a tensor the type of another one, with its scale and zero point."""
        self._tensors[target].type = self._tensors[source].type
        self._tensors[target].quantization = self._tensors[source].quantization

    def make_unsigned(self, tensor: int) -> None:
        """Make an int8 tensor uint8, which holds the same real values."""
        source = self._tensors[tensor]
        source.type = schema.TensorType.UINT8
        source.quantization = copy.copy(source.quantization)
        source.quantization.zeroPoint = np.array(source.quantization.zeroPoint) + 128

    def replace_input(self, old: int, new: int, users: Iterable[Operator]) -> None:
        """Let operators take another tensor in the place of one."""
        for operator in users:
            operator.inputs = [new if tensor == old else tensor for tensor in operator.inputs]

    def replace_everywhere(self, old: int, new: int) -> None:
        """Let operators, and the outputs of the model, take another tensor in the place of one."""
        self.replace_input(old, new, self.users(old))
        self.replace_output(old, new)

    def replace_output(self, old: int, new: int) -> None:
        """Let the model give another tensor in the place of one."""
        self._graph.outputs = [new if int(one) == old else int(one) for one in self._graph.outputs]
        for signature in self.model.signatureDefs or []:
            for port in signature.outputs:
                port.tensorIndex = new if port.tensorIndex == old else port.tensorIndex

    def require_version(self, name: str, version: int) -> None:
        """Say that an operator of the file needs a version."""
        for code in self.model.operatorCodes:
            if operator_name(code) == name:
                code.version = max(code.version, version)

    def rename_ports(self, inputs: dict[str, str], outputs: dict[str, str]) -> None:
        """Give the inputs and outputs of the signature other names."""
        (signature,) = self.model.signatureDefs
        for ports, names in ((signature.inputs, inputs), (signature.outputs, outputs)):
            for port in ports:
                port.name = names[port.name.decode()].encode()

    def remove(self, *operators: Operator) -> None:
        """Take operators out."""
        removed = set(map(id, operators))
        self.operators = [one for one in self.operators if id(one) not in removed]

    def remove_unused(self) -> None:
        """Take out the operators whose outputs nobody takes."""
        before = -1
        while before != len(self.operators):
            before = len(self.operators)
            needed = {tensor for one in self.operators for tensor in one.inputs}
            needed.update(map(int, self._graph.outputs))
            self.operators = [one for one in self.operators if needed & set(one.outputs)]

    def _operator(self, source: Any) -> Operator:
        code = self.model.operatorCodes[source.opcodeIndex]
        options = read_options(source) if code.customCode else None
        return Operator(operator_name(code), source.inputs, source.outputs, options, source)

    def _add_tensor(self, tensor: Any) -> int:
        self._tensors.append(tensor)
        return len(self._tensors) - 1


def _packed_shape(shape: np.ndarray) -> np.ndarray:
    """The shape of packed signs: 32 values of the last axis to a word."""
    packed = np.array(shape, np.int32)
    packed[-1] = -(-packed[-1] // 32) if packed[-1] > 0 else packed[-1]
    return packed
