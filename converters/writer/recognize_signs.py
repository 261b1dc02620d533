"""Signs that were written with TensorFlow's operations become LCE's too."""

import numpy as np

from kbnn.converters.writer.channelwise import fused_activation
from kbnn.converters.writer.file_graph import FileGraph, Operator
from kbnn.converters.writer.lower_signs import QUANTIZE


def recognize_signs(graph: FileGraph) -> None:
    """Take the packed signs of values directly, where a layer of the user's computes their signs.

    `tf.where(x >= 0, 1.0, -1.0)`, `tf.where(x < 0, -1.0, 1.0)` and Larq's `sign(sign(x) + 0.1)` are
    recognized. With another function, `LceQuantize` packs its result.
    """
    for operator in graph.operators:
        if operator.name == QUANTIZE:
            while (values := _signed_values(graph, operator.inputs[0])) is not None:
                operator.inputs = [values]
    graph.remove_unused()


def _signed_values(graph: FileGraph, tensor: int) -> int | None:
    """The tensor whose signs a tensor holds; None if it holds something else."""
    producer = graph.producer(tensor)
    if producer is None:
        return None
    if producer.name in ("SELECT", "SELECT_V2"):
        return _selected(graph, producer)
    if producer.name == "SIGN":
        return _signed(graph, producer)
    return None


def _selected(graph: FileGraph, select: Operator) -> int | None:
    condition, if_true, if_false = select.inputs
    comparison = graph.producer(condition)
    true, false = _scalar(graph, if_true), _scalar(graph, if_false)
    if comparison is None or true is None or false is None:
        return None
    if comparison.name not in ("GREATER_EQUAL", "LESS"):
        return None
    values, bound = comparison.inputs
    if _scalar(graph, bound) != 0 or graph.shape(values) != graph.shape(select.outputs[0]):
        return None
    at_least = comparison.name == "GREATER_EQUAL" and false < 0 <= true
    below = comparison.name == "LESS" and true < 0 <= false
    return values if at_least or below else None


def _signed(graph: FileGraph, sign: Operator) -> int | None:
    add = graph.producer(sign.inputs[0])
    if add is None or add.name != "ADD" or fused_activation(add) is not None:
        return None
    for signs, constant in (add.inputs, add.inputs[::-1]):
        inner, shift = graph.producer(signs), _scalar(graph, constant)
        if inner is not None and inner.name == "SIGN" and shift is not None and 0 < shift < 1:
            return inner.inputs[0]
    return None


def _scalar(graph: FileGraph, tensor: int) -> float | None:
    constant = graph.constant(tensor)
    if constant is None or not constant.size or np.any(constant != constant.flat[0]):
        return None
    return float(constant.flat[0])
