"""The rules by which a layer of a frozen model runs binary on the device, or does not."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn._larq import NoOp, quantized_scope
from kbnn.converters.packing import may_be_packed
from kbnn.converters.training_rules import training_warning
from kbnn.graph.calls import Call, Shape
from kbnn.graph.larq_quantizers import has_one_bit_kernel, kernel_quantizers
from kbnn.graph.padding import NEGATIVE, pads_nothing, same_paddings
from kbnn.graph.signs import takes_signs

NO_BINARY_OP = (
    "Larq Compute Engine (LCE) has binary operators only for 2-D convolutions and dense layers; "
    "{way_on}"
)
USE_ROWS = "reshape its inputs to images of height 1, and use QuantConv2D with a kernel of height 1"
USE_GROUPS = (
    "use QuantConv2D with groups of 32 channels or a multiple, or a real-valued depthwise "
    "convolution"
)
USE_SEPARATE = "use a real-valued depthwise convolution, and QuantConv2D with a 1x1 kernel"
USE_UPSAMPLING = "use nearest-neighbour UpSampling2D and QuantConv2D"
USE_REAL = "leave this layer real-valued"
CHANNELS_FIRST = 'LCE supports only data_format="channels_last"'
GROUPS = "LCE needs a multiple of 32 input channels in each group, and this layer has {channels}"
NOT_SIGN_KERNEL = "the kernel is not +-alpha with one alpha per output channel"
ZERO_PADDING = (
    'zero padding keeps the output from being bit-packed; use pad_values=1.0 or padding="valid"'
)
UNKNOWN_SIZE = (
    "padding with {value:g} needs images of a fixed size, and this layer has {shapes}; give "
    'keras.Input a height and width, or use padding="valid"'
)
PAD_VALUES = (
    "LCE can pad with 0 or 1 only, and this layer has pad_values={value:g}; use pad_values=1.0"
)
NEGATIVE_PADDING = (
    "kbnn pads with -1 in floats before the sign, so no layer before it can write bit-packed "
    "output; pad_values=1.0 avoids this"
)
DENSE_SIZES = (
    "LCE has no dense operator, and a 1x1 convolution can replace this layer only if all its "
    "inputs have the same rank and at most one unknown size, here {shapes}"
)
GROUPED = "LCE's default kernel cannot run groups; use kbnn-runtime, or use_indirect_bgemm=True"
OWN_SIGN = "the input quantizer is not one of Larq's signs; its outputs were +1 and -1 when tried"
NO_SIGN = (
    "the input quantizer has precision=1, but its outputs were not +1 and -1 when tried, and LCE "
    "multiplies only these"
)
REAL_KERNEL = "binary inputs but real-valued weights, so not binary on the device"
REAL_INPUT = (
    "binary weights but real-valued inputs, so not binary on the device; the weights are stored "
    "as floats"
)
REAL = "real-valued layer"


class LintResult(NamedTuple):
    """How one layer with a kernel will run on the device.

    Attributes:
        layer: the layer's name.
        kind: the layer's class.
        binary: the layer will run as a binary operator.
        problem: why a layer with a binary kernel and binary inputs cannot run binary; "" if it can,
            and for all other layers.
        note: what else there is to know; "" for nothing.
        warning: what keeps the network from learning, and what to change; "" for nothing. `convert`
            does not refuse such a layer.
    """

    layer: str
    kind: str
    binary: bool
    problem: str
    note: str
    warning: str


def lint_layer(layer: keras.layers.Layer, calls: Sequence[Call]) -> LintResult:
    """Tell how a layer with a kernel will run on the device.

    `LintedModel` calls this once for each layer and keeps the result.

    Args:
        layer: a layer of a frozen model. Of a model in training, kbnn does not check the scale of
            the kernel.
        calls: the layer's calls in that model.
    """
    binary_kernel = has_one_bit_kernel(layer)
    signs = takes_signs(calls)
    meant_binary = binary_kernel and signs
    own_sign = binary_kernel and not meant_binary and _claims_signs(layer)
    problem = ""
    if meant_binary:
        problem = _problem(layer, _input_shapes(calls))
        note = "; ".join(_notes(layer, calls))
    elif own_sign and quantizes_to_signs(layer.input_quantizer, _input_shapes(calls)[0]):
        meant_binary = True
        problem = _problem(layer, _input_shapes(calls))
        note = "; ".join([OWN_SIGN, *_notes(layer, calls)])
    elif own_sign:
        problem, note = NO_SIGN, ""
    elif signs and _is_binary_by_value(layer) and not _problem(layer, _input_shapes(calls)):
        meant_binary = True
        note = "; ".join(_notes(layer, calls))
    elif binary_kernel:
        note = "; ".join(filter(None, (REAL_INPUT, _no_binary_operator(layer))))
    elif signs:
        note = REAL_KERNEL
    else:
        note = REAL
    return LintResult(
        *(layer.name, type(layer).__name__, meant_binary and not problem, problem, note),
        warning=training_warning(calls),
    )


def quantizes_to_signs(quantizer: Any, shape: Shape) -> bool:
    """Try whether a quantizer's outputs are +1 and -1, on values of many sizes around zero.

    Args:
        quantizer: a function or layer that works on real values.
        shape: the shape of its input.
    """
    sizes = [1, *(size or 8 for size in shape[1:])]
    values = np.random.default_rng(0).normal(size=sizes) * np.logspace(-6, 3, sizes[-1])
    values.flat[::7] = 0.0
    with quantized_scope(True):
        outputs = np.asarray(quantizer(tf.constant(values, tf.float32)))
    return outputs.shape == values.shape and bool(np.all(np.abs(outputs) == 1.0))


def _is_binary_by_value(layer: keras.layers.Layer) -> bool:
    """Whether a layer of Larq's has a binary kernel, whatever its quantizer says of itself."""
    return (
        hasattr(layer, "kernel_quantizer")
        and not _no_binary_operator(layer)
        and has_one_scale_per_output(layer.get_weights()[0])
    )


def _claims_signs(layer: keras.layers.Layer) -> bool:
    return getattr(getattr(layer, "input_quantizer", None), "precision", None) == 1


def pads(layer: keras.layers.Layer) -> bool:
    """Whether a convolution pads its input."""
    return getattr(layer, "padding", None) == "same" and not pads_nothing(layer)


def _input_shapes(calls: Sequence[Call]) -> list[Shape]:
    """The different shapes that a layer takes."""
    return list(dict.fromkeys(call.input_shapes[0] for call in calls))


def _problem(layer: keras.layers.Layer, shapes: list[Shape]) -> str:
    """Why a layer with a binary kernel and binary inputs cannot run binary, or ""."""
    problem = _no_binary_operator(layer)
    if problem:
        return problem
    if isinstance(layer, keras.layers.Dense):
        problem = _dense_problem(shapes)
    else:
        problem = _convolution_problem(layer, shapes)
    # `freeze` marks the kernels whose values are final.
    is_final = isinstance(kernel_quantizers(layer).get("kernel"), NoOp)
    if not problem and is_final and not has_one_scale_per_output(layer.get_weights()[0]):
        return NOT_SIGN_KERNEL
    return problem


def _no_binary_operator(layer: keras.layers.Layer) -> str:
    """Why LCE has no binary operator for a kind of layer, and what to use; "" if it has one."""
    if isinstance(layer, keras.layers.Conv2DTranspose):
        way_on = USE_UPSAMPLING
    elif isinstance(layer, keras.layers.Dense | keras.layers.Conv2D):
        return ""
    elif isinstance(layer, keras.layers.DepthwiseConv2D):
        way_on = USE_GROUPS
    elif isinstance(layer, keras.layers.SeparableConv2D):
        way_on = USE_SEPARATE
    elif isinstance(layer, keras.layers.Conv1D):
        way_on = USE_ROWS
    else:
        way_on = USE_REAL
    return NO_BINARY_OP.format(way_on=way_on)


def has_one_scale_per_output(kernel: np.ndarray) -> bool:
    """Whether a kernel is +-alpha, one positive alpha per output channel (the last axis)."""
    magnitude = np.abs(kernel.reshape(-1, kernel.shape[-1]))
    alpha = magnitude[0]
    # LCE tolerates 0.5 %. `freeze` writes exact values, so kbnn asks for far less.
    return bool(np.all(alpha > 0) and np.all(np.abs(magnitude - alpha) <= 1e-5 * alpha))


def _dense_problem(shapes: list[Shape]) -> str:
    one_rank = len({len(shape) for shape in shapes}) == 1
    # On inputs of rank 4 a dense layer is a 1x1 convolution already, whatever the sizes.
    if one_rank and all(len(shape) == 4 or shape[1:].count(None) <= 1 for shape in shapes):
        return ""
    return DENSE_SIZES.format(shapes=_shapes_text(shapes))


def _convolution_problem(layer: keras.layers.Conv2D, shapes: list[Shape]) -> str:
    if layer.data_format != "channels_last":
        return CHANNELS_FIRST
    if layer.groups > 1 and layer.kernel.shape[2] % 32:
        return GROUPS.format(channels=layer.kernel.shape[2])
    value = _pad_value(layer)
    if not pads(layer) or value == 0.0:
        return ""
    paddings = same_paddings(layer)
    if paddings is None:
        return UNKNOWN_SIZE.format(value=value, shapes=_shapes_text(shapes))
    if value != 1.0 and (value != NEGATIVE or len(paddings) > 1):
        return PAD_VALUES.format(value=value)
    return ""


def _notes(layer: keras.layers.Layer, calls: Sequence[Call]) -> list[str]:
    notes = []
    if pads(layer) and _pad_value(layer) == 0.0 and any(map(may_be_packed, calls)):
        notes.append(ZERO_PADDING)
    if pads(layer) and _pad_value(layer) == NEGATIVE:
        notes.append(NEGATIVE_PADDING)
    if getattr(layer, "groups", 1) > 1:
        notes.append(GROUPED)
    return notes


def _pad_value(layer: keras.layers.Layer) -> float:
    return float(getattr(layer, "pad_values", 0.0))


def _shapes_text(shapes: list[Shape]) -> str:
    return " and ".join(f"input shape {shape}" for shape in shapes)
