"""Writes an LCE `.tflite` file with TensorFlow's own converter."""

from kbnn._version import __version__
from kbnn.converters.linted_model import LintedModel
from kbnn.converters.saved_model import signature_names
from kbnn.converters.writer.composites import mark_binary_layers
from kbnn.converters.writer.file_graph import FileGraph
from kbnn.converters.writer.fold_output import fold_outputs
from kbnn.converters.writer.int8_boundaries import simplify_boundaries
from kbnn.converters.writer.integer_ports import use_integer_ports
from kbnn.converters.writer.lower_convolutions import lower_convolutions
from kbnn.converters.writer.lower_signs import lower_signs
from kbnn.converters.writer.pack_between import pack_between
from kbnn.converters.writer.pack_output import pack_outputs
from kbnn.converters.writer.recognize_signs import recognize_signs
from kbnn.converters.writer.serialize import to_bytes
from kbnn.converters.writer.stock_converter import to_tflite


def write_lce(
    graph: LintedModel,
    *,
    int8: bool = False,
    input_type: str | None = None,
    output_type: str | None = None,
) -> bytes:
    """Convert a device graph to the content of an LCE `.tflite` file.

    Inputs and outputs keep the Keras names in the file's signature `serving_default`.

    Args:
        graph: the device graph.
        int8: whether it has fake quantization, which becomes int8 arithmetic.
        input_type: "int8" or "uint8" for the inputs, which must have fake quantization; None to
            leave them as they are.
        output_type: likewise for the outputs.

    Raises:
        ConversionError: TensorFlow's converter refused the model, or an input or output cannot have
            the type.
        ValueError: the model has control flow.
    """
    marked = mark_binary_layers(graph)
    file = FileGraph(to_tflite(marked.model, int8=int8))
    file.rename_ports(*signature_names(marked.model))
    simplify_boundaries(file)
    lower_signs(file)
    recognize_signs(file)
    convolutions = lower_convolutions(file, marked.convolutions)
    pack_between(file)
    pack_outputs(file, convolutions)
    fold_outputs(file, convolutions)
    use_integer_ports(file, input_type, output_type)
    return to_bytes(file, f"kbnn {__version__}")
