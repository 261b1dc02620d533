"""A binary convolution with real-valued outputs applies scale, normalization and ReLU itself."""

import numpy as np

from kbnn.converters.writer.channelwise import ACTIVATIONS, constant_operand, fused_activation
from kbnn.converters.writer.file_graph import FileGraph, Operator
from kbnn.converters.writer.lower_convolutions import ACTIVATIONS as NUMBERS
from kbnn.converters.writer.lower_convolutions import BinaryConvolution
from kbnn.converters.writer.pack_output import keeps_channels


def fold_outputs(graph: FileGraph, convolutions: list[BinaryConvolution]) -> None:
    """Fold the operators behind convolutions into their multiplier, bias, activation and type.

    LCE computes `activation(sum) * multiplier + bias`, and can round it to int8. With zeros for
    padding, its fast kernels have neither activation nor int8.
    """
    for each in convolutions:
        if not each.is_packed:
            _fold(graph, each)


def _fold(graph: FileGraph, binary: BinaryConvolution) -> None:
    multiplier = binary.scale.astype(np.float64)
    bias = np.zeros_like(multiplier)
    activation = "NONE"
    producer = binary.operator
    while (user := graph.only_user(producer.outputs[0])) is not None:
        if keeps_channels(graph, user):
            producer = user
            continue
        if user.name == "QUANTIZE" and not binary.convolution.pads_with_zero:
            _quantize(graph, binary.operator, user)
            break
        if user.name in ACTIVATIONS:
            fits = activation == "NONE" and not bias.any() and not binary.convolution.pads_with_zero
            if not fits or not _commutes(user.name, multiplier):
                break
            activation = user.name
        else:
            constant = constant_operand(graph, user, producer.outputs[0])
            if constant is None or user.name not in _AFFINE:
                break
            if user.name in ("SUB", "DIV") and user.inputs[0] != producer.outputs[0]:
                break
            multiplier, bias = _AFFINE[user.name](multiplier, bias, constant.astype(np.float64))
            after = fused_activation(user)
            if after is not None:
                user.name, user.inputs, user.source = after, [producer.outputs[0]], None
                continue
        producer.outputs = list(user.outputs)
        graph.remove(user)
    binary.operator.options["fused_activation_function"] = NUMBERS[activation]
    binary.set_constants(
        graph, multiplier=multiplier.astype(np.float32), bias=bias.astype(np.float32)
    )


def _quantize(graph: FileGraph, convolution: Operator, quantize: Operator) -> None:
    """Give a convolution, and what reshapes its output, the int8 type that comes behind them."""
    operator = convolution
    while operator is not quantize:
        (tensor,) = operator.outputs
        graph.copy_type(quantize.outputs[0], tensor)
        last, operator = operator, graph.users(tensor)[0]
    last.outputs = list(quantize.outputs)
    graph.remove(quantize)


_AFFINE = {
    "ADD": lambda multiplier, bias, constant: (multiplier, bias + constant),
    "SUB": lambda multiplier, bias, constant: (multiplier, bias - constant),
    "MUL": lambda multiplier, bias, constant: (multiplier * constant, bias * constant),
    "DIV": lambda multiplier, bias, constant: (multiplier / constant, bias / constant),
}


def _commutes(activation: str, multiplier: np.ndarray) -> bool:
    """Whether an activation of scaled sums is the scaled activation of sums."""
    return bool(np.all(multiplier > 0 if activation == "RELU" else multiplier == 1.0))
