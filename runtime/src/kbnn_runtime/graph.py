"""The operators of a file, and files of one operator each.

A `.tflite` file is a flatbuffer of TFLite's schema. Tables refer to their fields by offsets, so an
operator is made a model of its own without rebuilding the file: the first subgraph is told to have
that operator alone, with the operator's tensors as inputs and outputs. Source of the field numbers:
`tensorflow/lite/schema/schema.fbs`, tables Model and SubGraph.
"""

import dataclasses
import struct

from kbnn_runtime.litert import LiteRTInterpreter

_MODEL_SUBGRAPHS, _MODEL_SIGNATURES = 2, 7
_SUBGRAPH_INPUTS, _SUBGRAPH_OUTPUTS, _SUBGRAPH_OPERATORS = 1, 2, 3


@dataclasses.dataclass(frozen=True)
class Operator:
    """An operator of the graph.

    Attributes:
        type: `LceBconv2d`, or TFLite's name of it, such as `CONV_2D`.
        name: The name of its first output.
        inputs: The tensors that other operators or the user give it, without constants.
        outputs: Its tensors.
    """

    type: str
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def operators(content: bytes) -> list[Operator]:
    """The operators of a file's first subgraph, in the order in which they run.

    Args:
        content: A file that LiteRT has accepted.

    Raises:
        ValueError: The name of a tensor is not UTF-8.
    """
    # Never allocated and without the delegate, so the nodes are the file's. LiteRT takes custom
    # operators that it does not know until they have to be prepared.
    litert = LiteRTInterpreter(model_content=content)
    try:
        nodes = litert._get_ops_details()
        names = {entry["index"]: entry["name"] for entry in litert.get_tensor_details()}
    except UnicodeDecodeError as error:
        raise ValueError(
            f"Expected a model whose tensors have names in UTF-8. Received: {error}"
        ) from error
    variable = {int(entry["index"]) for entry in litert.get_input_details()}
    found = []
    for node in nodes:
        outputs = tuple(int(index) for index in node["outputs"] if index >= 0)
        found.append(
            Operator(
                type=node["op_name"],
                name=names.get(outputs[0], "") if outputs else "",
                inputs=tuple(
                    dict.fromkeys(int(index) for index in node["inputs"] if index in variable)
                ),
                outputs=outputs,
            )
        )
        variable.update(outputs)
    return found


def single_operator(content: bytes, index: int, operator: Operator) -> bytes:
    """The file with its operator `index` alone, whose inputs and outputs are the model's.

    Raises:
        ValueError: The file stores its operators in an order that cannot be edited in place.
    """
    edited = bytearray(content)
    model = _target(edited, 0)
    signatures = _field(edited, model, _MODEL_SIGNATURES)
    if signatures is not None:
        struct.pack_into("<I", edited, _target(edited, signatures), 0)
    subgraphs = _target(edited, _required(edited, model, _MODEL_SUBGRAPHS))
    subgraph = _target(edited, subgraphs + 4)

    vector = _target(edited, _required(edited, subgraph, _SUBGRAPH_OPERATORS))
    table = _target(edited, vector + 4 + 4 * index)
    if table <= vector + 4:
        raise ValueError(
            "Expected a file whose operators stand after the list of them. "
            f"Received one with operator {index} before it: it cannot be profiled"
        )
    struct.pack_into("<II", edited, vector, 1, table - (vector + 4))

    for field, tensors in (
        (_SUBGRAPH_INPUTS, operator.inputs),
        (_SUBGRAPH_OUTPUTS, operator.outputs),
    ):
        slot = _required(edited, subgraph, field)
        edited += b"\0" * (-len(edited) % 4)
        struct.pack_into("<I", edited, slot, len(edited) - slot)
        edited += struct.pack(f"<I{len(tensors)}i", len(tensors), *tensors)
    return bytes(edited)


def _target(content: bytearray, position: int) -> int:
    """Where the offset at `position` leads."""
    return position + struct.unpack_from("<I", content, position)[0]


def _field(content: bytearray, table: int, number: int) -> int | None:
    """The position of a table's field, or None where the file leaves it out."""
    vtable = table - struct.unpack_from("<i", content, table)[0]
    (size,) = struct.unpack_from("<H", content, vtable)
    entry = 4 + 2 * number
    offset = struct.unpack_from("<H", content, vtable + entry)[0] if entry < size else 0
    return table + offset if offset else None


def _required(content: bytearray, table: int, number: int) -> int:
    position = _field(content, table, number)
    if position is None:
        raise ValueError("Expected a model with inputs, outputs and operators. Received none")
    return position
