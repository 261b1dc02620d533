"""Where floats become int8 and int8 values become floats."""

from kbnn.converters.writer.composites import BOUNDARY
from kbnn.converters.writer.file_graph import FileGraph, Operator
from kbnn.converters.writer.lower_convolutions import ACTIVATIONS

QUANTIZE = "QUANTIZE"
DEQUANTIZE = "DEQUANTIZE"

# The first version of each operator that has int8.
_MOVING = {"MAX_POOL_2D": 2, "PAD": 2, "RESHAPE": 1}


def simplify_boundaries(graph: FileGraph) -> None:
    """Keep only the conversions between floats and int8 that change values.

    - Boundaries, which kept TensorFlow's converter from making more operators int8, are removed.
    - Max-pooling, padding and reshaping of int8 values stay int8. The results are the same.
    - Values become int8 before these operators too, where nothing else takes them.
    - Where one int8 operator leads to the next and both have the same scale, no conversion stays.
    - Operators that convert the same tensor to the same type share one conversion.
    """
    _remove_boundaries(graph)
    _move_in_int8(graph)
    _quantize_before_moving(graph)
    _join(graph)
    graph.remove_unused()


def _remove_boundaries(graph: FileGraph) -> None:
    for operator in [one for one in graph.operators if one.name == BOUNDARY]:
        graph.remove(operator)
        graph.replace_everywhere(operator.outputs[0], operator.inputs[0])


def _move_in_int8(graph: FileGraph) -> None:
    """Move `DEQUANTIZE` behind operators that only choose or move values."""
    waiting = [one for one in graph.operators if one.name == DEQUANTIZE]
    while waiting:
        dequantize = waiting.pop()
        (floats,) = dequantize.outputs
        for user in graph.users(floats):
            if user.name not in _MOVING or user.inputs[0] != floats or not _only_moves(user):
                continue
            moved = graph.add_like(user.outputs[0])
            graph.copy_type(dequantize.inputs[0], moved)
            after = Operator(DEQUANTIZE, [moved], user.outputs)
            user.inputs[0], user.outputs = dequantize.inputs[0], [moved]
            graph.require_version(user.name, _MOVING[user.name])
            graph.operators.append(after)
            waiting.append(after)
    graph.remove_unused()


def _only_moves(operator: Operator) -> bool:
    options = operator.source.builtinOptions
    return getattr(options, "fusedActivationFunction", 0) == ACTIVATIONS["NONE"]


def _quantize_before_moving(graph: FileGraph) -> None:
    """Move `QUANTIZE` in front of operators that only choose or move values."""
    for quantize in [one for one in graph.operators if one.name == QUANTIZE]:
        while (mover := graph.producer(quantize.inputs[0])) is not None:
            if mover.name not in _MOVING or not _only_moves(mover):
                break
            if graph.only_user(mover.outputs[0]) is not quantize:
                break
            (values,) = quantize.outputs
            before = graph.add_like(mover.inputs[0])
            graph.copy_type(values, before)
            quantize.inputs, quantize.outputs = [mover.inputs[0]], [before]
            mover.inputs[0], mover.outputs = before, [values]
            graph.require_version(mover.name, _MOVING[mover.name])


def _join(graph: FileGraph) -> None:
    converted: dict[int, list[int]] = {}  # the int8 tensors of a real-valued one
    for quantize in [one for one in graph.operators if one.name == QUANTIZE]:
        (floats,), (values,) = quantize.inputs, quantize.outputs
        known = converted.setdefault(floats, [])
        before = graph.producer(floats)
        if not known and before is not None and before.name == DEQUANTIZE:
            known += before.inputs
        same = [tensor for tensor in known if graph.has_same_type(tensor, values)]
        if same:
            graph.remove(quantize)
            graph.replace_everywhere(values, same[0])
        else:
            known.append(values)
