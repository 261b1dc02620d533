"""List the operators of a file, and extract one of them as a model.

A `.tflite` file is a flatbuffer of TFLite's schema, in which tables refer to their fields by
offsets. To extract an operator, the file is edited instead of rebuilt: the first subgraph gets a
list of operators with only that one, and the operator's tensors become its inputs and outputs. The
field numbers come from `tensorflow/lite/schema/schema.fbs`, tables Model and SubGraph.
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
        type: `LceBconv2d`, or a name of TFLite's such as `CONV_2D`.
        name: The name of its first output.
        inputs: The indices of its input tensors, without constants.
        outputs: The indices of its output tensors.
    """

    type: str
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def operators(content: bytes) -> list[Operator]:
    """List the operators of a file's first subgraph, in execution order.

    Args:
        content: A file that LiteRT has accepted.

    Raises:
        ValueError: A tensor's name is not UTF-8.
    """
    # Without the delegate, the nodes are the file's operators. LiteRT accepts unknown custom
    # operators until it has to prepare them, which this interpreter never does.
    litert = LiteRTInterpreter(model_content=content)
    try:
        nodes = litert._get_ops_details()
        names = {entry["index"]: entry["name"] for entry in litert.get_tensor_details()}
    except UnicodeDecodeError as error:
        raise ValueError(
            f"Expected a model whose tensor names are UTF-8. Received: {error}"
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
    """Extract the operator at `index` as a model, whose inputs and outputs are the operator's.

    Raises:
        ValueError: The file's layout does not allow this edit.
    """
    edited = bytearray(content)
    model = _target(edited, 0)
    signatures = _field(edited, model, _MODEL_SIGNATURES)
    if signatures is not None:
        struct.pack_into("<I", edited, _target(edited, signatures), 0)
    subgraphs = _target(edited, _require_field(edited, model, _MODEL_SUBGRAPHS))
    subgraph = _target(edited, subgraphs + 4)

    vector = _target(edited, _require_field(edited, subgraph, _SUBGRAPH_OPERATORS))
    table = _target(edited, vector + 4 + 4 * index)
    if table <= vector + 4:
        raise ValueError(
            "Expected a file that stores its operators after their list. "
            f"Received one with operator {index} before it, which cannot be profiled"
        )
    struct.pack_into("<II", edited, vector, 1, table - (vector + 4))

    for field, tensors in (
        (_SUBGRAPH_INPUTS, operator.inputs),
        (_SUBGRAPH_OUTPUTS, operator.outputs),
    ):
        slot = _require_field(edited, subgraph, field)
        edited += b"\0" * (-len(edited) % 4)
        struct.pack_into("<I", edited, slot, len(edited) - slot)
        edited += struct.pack(f"<I{len(tensors)}i", len(tensors), *tensors)
    return bytes(edited)


def _target(content: bytearray, position: int) -> int:
    """Follow the offset at `position`."""
    return position + struct.unpack_from("<I", content, position)[0]


def _field(content: bytearray, table: int, number: int) -> int | None:
    """Return the position of a table's field, or None if the file omits it."""
    vtable = table - struct.unpack_from("<i", content, table)[0]
    (size,) = struct.unpack_from("<H", content, vtable)
    entry = 4 + 2 * number
    offset = struct.unpack_from("<H", content, vtable + entry)[0] if entry < size else 0
    return table + offset if offset else None


def _require_field(content: bytearray, table: int, number: int) -> int:
    position = _field(content, table, number)
    if position is None:
        raise ValueError("Expected a model with inputs, outputs and operators. One is missing")
    return position
