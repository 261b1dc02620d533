"""The rules by which a layer of a frozen model runs binary on the device, or does not."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn._larq import Quantizer, quantized_scope
from kbnn.graph.calls import Call, Shape
from kbnn.graph.larq_quantizers import KERNEL_QUANTIZERS
from kbnn.graph.padding import NEGATIVE, pads_nothing, same_paddings
from kbnn.graph.signs import takes_signs

NO_BINARY_OP = (
    "Larq Compute Engine (LCE) has binary operators only for 2-D convolutions and dense layers"
)
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
    "kbnn pads with -1 in floats before the sign, so the previous layer's output is not "
    "bit-packed; pad_values=1.0 avoids this"
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

# Layers whose weights of rank 2 and more are looked up, or multiply element by element.
_NO_PRODUCT = (
    keras.layers.BatchNormalization,
    keras.layers.Embedding,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.Normalization,
    keras.layers.PReLU,
    Quantizer,
)


class LintResult(NamedTuple):
    """How one layer with a kernel will run on the device.

    Attributes:
        layer: the layer's name.
        kind: the layer's class.
        binary: the layer will run as a binary operator.
        problem: why a layer with a binary kernel and binary inputs cannot run binary; "" if it can,
            and for all other layers.
        note: what else there is to know; "" for nothing.
    """

    layer: str
    kind: str
    binary: bool
    problem: str
    note: str


def is_kernel_layer(layer: keras.layers.Layer) -> bool:
    """Whether a layer, or a layer inside it, multiplies by weights."""
    if any(hasattr(layer, kernel) for kernel in KERNEL_QUANTIZERS.values()):
        return True
    matrices = any(len(weight.shape) > 1 for weight in layer.weights)
    return matrices and not isinstance(layer, _NO_PRODUCT)


def lint_layer(layer: keras.layers.Layer, calls: Sequence[Call]) -> LintResult:
    """Tell how a layer with a kernel will run on the device.

    `LintedModel` calls this once for each layer and keeps the result.

    Args:
        layer: a layer of a frozen model.
        calls: the layer's calls in that model.
    """
    binary_kernel = _has_binary_kernel(layer)
    signs = takes_signs(calls)
    meant_binary = binary_kernel and signs
    own_sign = binary_kernel and not meant_binary and _claims_signs(layer)
    problem = ""
    if meant_binary:
        problem = _problem(layer, _input_shapes(calls))
        note = "; ".join(_notes(layer))
    elif own_sign and gives_signs(layer.input_quantizer, _input_shapes(calls)[0]):
        meant_binary = True
        problem = _problem(layer, _input_shapes(calls))
        note = "; ".join([OWN_SIGN, *_notes(layer)])
    elif own_sign:
        problem, note = NO_SIGN, ""
    elif binary_kernel:
        note = REAL_INPUT
    elif signs:
        note = REAL_KERNEL
    else:
        note = REAL
    return LintResult(layer.name, type(layer).__name__, meant_binary and not problem, problem, note)


def gives_signs(quantizer: Any, shape: Shape) -> bool:
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


def _claims_signs(layer: keras.layers.Layer) -> bool:
    return getattr(getattr(layer, "input_quantizer", None), "precision", None) == 1


def pads(layer: keras.layers.Layer) -> bool:
    """Whether a convolution pads its input."""
    return getattr(layer, "padding", None) == "same" and not pads_nothing(layer)


def _has_binary_kernel(layer: keras.layers.Layer) -> bool:
    return any(
        getattr(getattr(layer, argument, None), "precision", None) == 1
        for argument in KERNEL_QUANTIZERS
    )


def _input_shapes(calls: Sequence[Call]) -> list[Shape]:
    """The different shapes that a layer takes."""
    return list(dict.fromkeys(call.input_shapes[0] for call in calls))


def _problem(layer: keras.layers.Layer, shapes: list[Shape]) -> str:
    """Why a layer with a binary kernel and binary inputs cannot run binary, or ""."""
    if isinstance(layer, keras.layers.Dense):
        problem = _dense_problem(shapes)
    elif not isinstance(layer, keras.layers.Conv2D) or isinstance(
        layer, keras.layers.Conv2DTranspose | keras.layers.DepthwiseConv2D
    ):
        return NO_BINARY_OP
    else:
        problem = _convolution_problem(layer, shapes)
    if not problem and not has_one_scale_per_output(layer.get_weights()[0]):
        return NOT_SIGN_KERNEL
    return problem


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


def _notes(layer: keras.layers.Layer) -> list[str]:
    notes = []
    if pads(layer) and _pad_value(layer) == 0.0:
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
