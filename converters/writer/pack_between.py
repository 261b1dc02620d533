"""Signs move in front of layers that only choose or move values, which then handle packed bits."""

import numpy as np

from kbnn.converters.writer.file_graph import FileGraph, Operator
from kbnn.converters.writer.lower_convolutions import ACTIVATIONS
from kbnn.converters.writer.lower_signs import DEQUANTIZE, QUANTIZE

_WORD = 32


def pack_between(graph: FileGraph) -> None:
    """Move each sign as far to the front as packed bits can go.

    The largest value has the largest sign, so max-pooling can work on bits. Reshaping can work on
    words of 32 signs if the 32 values of each word stay together.
    """
    waiting = [one for one in graph.operators if one.name == QUANTIZE]
    while waiting:
        sign = waiting.pop()
        before = graph.producer(sign.inputs[0])
        if before is None or graph.only_user(before.outputs[0]) is not sign:
            continue
        if _pools(before):
            name, inputs, options = "LceBMaxPool2d", [], _pooling_options(before)
        elif _moves_words(graph, before):
            name, inputs, options = "RESHAPE", [_packed_shape(graph, sign)], None
        else:
            continue
        bits, new = _signs_of(graph, before.inputs[0])
        packed = Operator(name, [bits, *inputs], sign.outputs, options)
        graph.remove(sign, before)
        graph.operators.append(packed)
        waiting += new


def _signs_of(graph: FileGraph, tensor: int) -> tuple[int, list[Operator]]:
    """The packed signs of a tensor, and the operator that packs them if it is new."""
    producer = graph.producer(tensor)
    if producer is not None and producer.name == DEQUANTIZE:
        return producer.inputs[0], []
    for user in graph.users(tensor):
        if user.name == QUANTIZE:
            return user.outputs[0], []
    sign = Operator(QUANTIZE, [tensor], [graph.add_packed(tensor)])
    graph.operators.append(sign)
    return sign.outputs[0], [sign]


def _pools(operator: Operator) -> bool:
    """Whether an operator is max-pooling without an activation."""
    if operator.name != "MAX_POOL_2D":
        return False
    return operator.source.builtinOptions.fusedActivationFunction == ACTIVATIONS["NONE"]


def _pooling_options(pooling: Operator) -> dict[str, int]:
    options = pooling.source.builtinOptions
    # LCE's enumeration of paddings is TensorFlow Lite's.
    return {
        "filter_height": options.filterHeight,
        "filter_width": options.filterWidth,
        "padding": options.padding,
        "stride_height": options.strideH,
        "stride_width": options.strideW,
    }


def _moves_words(graph: FileGraph, operator: Operator) -> bool:
    """Whether an operator is reshaping that keeps the values of each word together."""
    if operator.name != "RESHAPE":
        return False
    before, after = (graph.shape(tensor) for tensor in (operator.inputs[0], operator.outputs[0]))
    if not before or not after or 0 in (*before, *after):
        return False
    return before[-1] == after[-1] or before[-1] % _WORD == after[-1] % _WORD == 0


def _packed_shape(graph: FileGraph, sign: Operator) -> int:
    """A constant with the shape of packed signs."""
    (bits,) = sign.outputs
    return graph.add_constant("shape", np.array(graph.shape(bits), np.int32))
