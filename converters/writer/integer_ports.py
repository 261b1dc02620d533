"""Inputs and outputs of a model that are int8 or uint8 instead of float32."""

from kbnn.converters.errors import ConversionError
from kbnn.converters.writer.file_graph import FileGraph, Operator
from kbnn.converters.writer.int8_boundaries import DEQUANTIZE, QUANTIZE

INTEGERS = ("int8", "uint8")
"""The types that an input or output can have on request."""


def use_integer_ports(graph: FileGraph, inputs: str | None, outputs: str | None) -> None:
    """Take out the conversions between floats and int8 at the inputs and outputs.

    For uint8, a conversion between uint8 and int8 takes their place.

    Args:
        graph: the file.
        inputs: one of `INTEGERS`, or None to leave the inputs as they are.
        outputs: likewise.

    Raises:
        ConversionError: an input or output is not converted to or from int8.
    """
    for tensor in graph.inputs if inputs is not None else []:
        _convert_input(graph, tensor, inputs == "uint8")
    for tensor in graph.outputs if outputs is not None else []:
        _convert_output(graph, tensor, outputs == "uint8")


def _convert_input(graph: FileGraph, tensor: int, unsigned: bool) -> None:
    users = graph.users(tensor)
    if [one.name for one in users] != [QUANTIZE] or graph.is_output(tensor):
        names = sorted(user.name for user in users)
        raise _refuse("input", f"one that {', '.join(names) or 'no operator'} takes")
    (quantize,) = users
    (values,) = quantize.outputs
    graph.copy_type(values, tensor)
    if unsigned:
        graph.make_unsigned(tensor)
    else:
        graph.remove(quantize)
        graph.replace_everywhere(values, tensor)


def _convert_output(graph: FileGraph, tensor: int, unsigned: bool) -> None:
    dequantize = graph.producer(tensor)
    if dequantize is None or dequantize.name != DEQUANTIZE:
        name = "an input" if dequantize is None else f"one that {dequantize.name} gives"
        raise _refuse("output", name)
    (values,) = dequantize.inputs
    if unsigned:
        users = graph.users(tensor)
        if users:
            floats = graph.add_like(tensor)
            graph.replace_input(tensor, floats, users)
            graph.operators.append(Operator(DEQUANTIZE, [values], [floats]))
        graph.copy_type(values, tensor)
        graph.make_unsigned(tensor)
        dequantize.name, dequantize.source = QUANTIZE, None
    else:
        graph.replace_output(tensor, values)


def _refuse(port: str, received: str) -> ConversionError:
    return ConversionError(
        f"Expected the {port}s of the model to be rounded to int8, as `{port}_type` asks for "
        f'integers. Received: {received}. Leave `{port}_type` out, or use int8="layers".'
    )
