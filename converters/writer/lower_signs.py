"""Signs become LCE's packed signs."""

from kbnn.converters.writer.composites import CONVOLUTION, SIGN
from kbnn.converters.writer.file_graph import FileGraph, Operator

QUANTIZE = "LceQuantize"
DEQUANTIZE = "LceDequantize"


def lower_signs(graph: FileGraph) -> None:
    """Turn each sign into `LceQuantize`, with `LceDequantize` where real values are needed.

    Binary convolutions take the packed signs. The sign of a sign is the same sign. int8 values need
    not become real-valued first, because `LceQuantize` compares them with their zero point.
    """
    packed: dict[int, int] = {}  # the packed signs of a tensor
    for sign in [one for one in graph.operators if one.name == SIGN]:
        (values,), (signs,) = sign.inputs, sign.outputs
        before = graph.producer(values)
        if before is not None and before.name == "DEQUANTIZE":
            (values,) = before.inputs
        if values not in packed:
            packed[values] = graph.add_packed(values)
            graph.operators.append(Operator(QUANTIZE, [values], [packed[values]]))
        bits = packed[values]
        packed[signs] = bits
        users = graph.users(signs)
        graph.replace_input(signs, bits, [one for one in users if one.name == CONVOLUTION])
        sign.name, sign.inputs, sign.source = DEQUANTIZE, [bits], None
    graph.remove_unused()
