"""Writes a changed `.tflite` file."""

from collections.abc import Callable, Iterator
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from kbnn.converters.flatbuffer import BUILTIN_NAMES, operator_name
from kbnn.converters.writer.file_graph import FileGraph, Operator

_ALIGNMENT = 16  # of constants in a file, in bytes: `force_align` in TensorFlow Lite's schema
_NUMBERS = {name: number for number, name in BUILTIN_NAMES.items()}
# What TensorFlow's converter writes and runtimes read.
_KEPT_METADATA = b"min_runtime_version"


def to_bytes(graph: FileGraph, description: str) -> bytes:
    """Write a file with only what the operators need. The same graph gives the same bytes.

    Args:
        graph: the operators. It cannot be used afterwards.
        description: what wrote the file.
    """
    graph.remove_unused()
    _write_operators(graph)
    _drop_unused_tensors(graph.model)
    model = graph.model
    model.metadata = [one for one in model.metadata or [] if one.name == _KEPT_METADATA]
    model.description = description.encode()
    _drop_unused_buffers(model)
    builder = _SharingBuilder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _write_operators(graph: FileGraph) -> None:
    """Bring the operators into an order in which they can run, with the codes of their names."""
    known = {operator_name(code): code for code in graph.model.operatorCodes}
    codes: dict[str, int] = {}
    written = []
    for operator in _in_order(graph.operators):
        source = operator.source or schema.OperatorT()
        source.opcodeIndex = codes.setdefault(operator.name, len(codes))
        source.inputs = np.array(operator.inputs, np.int32)
        source.outputs = np.array(operator.outputs, np.int32)
        if operator.options:
            source.customOptions = np.frombuffer(bytes(flexbuffers.Dumps(operator.options)), "u1")
        written.append(source)
    graph.model.subgraphs[0].operators = written
    graph.model.operatorCodes = [known.get(name) or _new_code(name) for name in codes]


def _in_order(operators: list[Operator]) -> Iterator[Operator]:
    """Each operator after those that it needs, otherwise in the given order."""
    producers = {tensor: operator for operator in operators for tensor in operator.outputs}
    done: set[int] = set()
    for last in operators:
        # Without recursion, because a deep network has thousands of operators in a row.
        waiting = [last]
        while waiting:
            operator = waiting[-1]
            missing = [
                producers[tensor]
                for tensor in operator.inputs
                if tensor in producers and id(producers[tensor]) not in done
            ]
            if missing:
                waiting += reversed(missing)
                continue
            waiting.pop()
            if id(operator) not in done:
                done.add(id(operator))
                yield operator


def _new_code(name: str) -> Any:
    code = schema.OperatorCodeT()
    code.version = 1
    if name in _NUMBERS:
        code.builtinCode = _NUMBERS[name]
        code.deprecatedBuiltinCode = min(
            code.builtinCode, schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES
        )
    else:
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = name.encode()
    return code


def _drop_unused_tensors(model: Any) -> None:
    (graph,) = model.subgraphs
    used = dict.fromkeys(map(int, (*graph.inputs, *graph.outputs)))
    for operator in graph.operators:
        used.update(dict.fromkeys(int(tensor) for tensor in operator.inputs if tensor >= 0))
        used.update(dict.fromkeys(map(int, operator.outputs)))
    numbers = {old: new for new, old in enumerate(sorted(used))}
    graph.tensors = [graph.tensors[old] for old in sorted(used)]
    for tensor in graph.tensors:
        # The converter lists all operations that an operator has absorbed.
        tensor.name = bytes(tensor.name).split(b";")[0]
        if tensor.quantization is not None and tensor.quantization.scale is None:
            tensor.quantization = None

    def renumbered(tensors: Any) -> np.ndarray:
        return np.array([numbers.get(int(tensor), -1) for tensor in tensors], np.int32)

    graph.inputs, graph.outputs = renumbered(graph.inputs), renumbered(graph.outputs)
    for operator in graph.operators:
        operator.inputs = renumbered(operator.inputs)
        operator.outputs = renumbered(operator.outputs)
    for signature in model.signatureDefs or []:
        for port in (*signature.inputs, *signature.outputs):
            port.tensorIndex = numbers[port.tensorIndex]


def _drop_unused_buffers(model: Any) -> None:
    """Keep each constant's buffer. Buffer 0 is the empty one, which all other tensors share."""
    kept: list[Any] = [schema.BufferT()]
    numbers: dict[bytes, int] = {b"": 0}
    for user in (*model.subgraphs[0].tensors, *model.metadata):
        data = model.buffers[user.buffer].data
        content = b"" if data is None else bytes(data)
        if content not in numbers:
            numbers[content] = len(kept)
            kept.append(_AlignedBuffer(content))
        user.buffer = numbers[content]
    model.buffers = kept


class _SharingBuilder(flatbuffers.Builder):
    """Writes equal shapes, options and names once."""

    def __init__(self) -> None:
        super().__init__(1024)
        self._written: dict[Any, int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:
        return self._write_once((x.dtype.str, x.tobytes()), super().CreateNumpyVector, x)

    def CreateString(self, s: Any, *options: str) -> int:
        return self._write_once(bytes(s), super().CreateString, s)

    def _write_once(self, key: Any, write: Callable[[Any], int], value: Any) -> int:
        if key not in self._written:
            self._written[key] = write(value)
        return self._written[key]


class _AlignedBuffer(schema.BufferT):
    """A buffer at an address that kernels may read in vectors, which flatbuffers' Python ignores.

    Args:
        content: the bytes.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(data=content)

    def Pack(self, builder: flatbuffers.Builder) -> int:
        size = len(self.data)
        builder.StartVector(1, size, _ALIGNMENT)
        builder.head -= size
        builder.Bytes[builder.head : builder.head + size] = self.data
        data = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)
