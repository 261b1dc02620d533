"""A binary convolution before a sign compares integers, and its output is packed."""

import numpy as np

from kbnn.converters.writer.channelwise import compute
from kbnn.converters.writer.file_graph import FileGraph, Operator
from kbnn.converters.writer.lower_convolutions import BinaryConvolution
from kbnn.converters.writer.lower_signs import QUANTIZE


def pack_outputs(graph: FileGraph, convolutions: list[BinaryConvolution]) -> None:
    """Pack the outputs of convolutions that lead only to a sign.

    The sum of a binary convolution is one of few integers. For each of them and each channel, the
    operators up to the sign are computed as the device computes them in float32. If the signs
    change at most once from the smallest to the largest sum, a threshold replaces the operators,
    and its results are exactly theirs.
    """
    for each in convolutions:
        # With zeros for padding, sums at the border are other integers, and LCE has no such kernel.
        if not each.convolution.pads_with_zero:
            _pack(graph, each)


def _pack(graph: FileGraph, binary: BinaryConvolution) -> None:
    products = binary.convolution.products
    differing = np.arange(products + 1)  # the bits that differ, from none to all
    sums = (products - 2 * differing).astype(np.float32)
    values = sums[:, None] * binary.scale
    (tensor,) = outputs = binary.operator.outputs
    path: list[Operator] = []
    while (user := graph.only_user(tensor)) is not None and user.name != QUANTIZE:
        if not keeps_channels(graph, user):
            computed = compute(graph, user, tensor, values)
            if computed is None:
                return
            values = computed
        path.append(user)
        (tensor,) = user.outputs
    if user is None:
        return
    negative = values < 0
    changes = negative[1:] != negative[:-1]
    if (changes.sum(axis=0) > 1).any():
        return
    # Negative for small sums, unless the sign falls: then the opposite filters rise.
    flip = negative[0] & ~negative[-1]
    rising = np.where(flip, negative[::-1], negative)
    thresholds = np.sum(~rising, axis=0) - 1
    binary.set_constants(graph, flip=flip, thresholds=thresholds.astype(np.int32))
    binary.operator.outputs = list(user.outputs)
    if graph.shape(outputs[0]) != graph.shape(user.inputs[0]):
        bits = graph.add_packed(outputs[0])
        shape = graph.add_constant("shape", np.array(graph.shape(user.outputs[0]), np.int32))
        graph.operators.append(Operator("RESHAPE", [bits, shape], user.outputs))
        binary.operator.outputs = [bits]
    graph.remove(*path, user)


def keeps_channels(graph: FileGraph, operator: Operator) -> bool:
    """Whether an operator is reshaping that does not touch the last axis."""
    if operator.name != "RESHAPE":
        return False
    before, after = (graph.shape(tensor) for tensor in (operator.inputs[0], operator.outputs[0]))
    return before[-1:] == after[-1:] != ()
