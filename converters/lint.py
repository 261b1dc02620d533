"""Which layers will run binary on the device, which will not, and why."""

from typing import NamedTuple

import larq as lq
import numpy as np
import tf_keras as keras

from kbnn.graph.freeze import freeze
from kbnn.graph.larq_quantizers import KERNEL_QUANTIZERS
from kbnn.graph.layers import layers_of
from kbnn.graph.nodes import input_shapes, producers
from kbnn.graph.padding import NEGATIVE, pads_nothing, same_paddings
from kbnn.graph.signs import SIGN_PRESERVING_LAYERS, inputs_are_binary

NO_BINARY_OP = "LCE has binary operators for 2-D convolutions and dense layers alone"
CHANNELS_FIRST = 'LCE needs data_format="channels_last"'
GROUPS = "LCE needs a multiple of 32 input channels per group, here {channels}"
NOT_SIGN_KERNEL = "the kernel's values are not +-alpha with one alpha per output channel"
ZERO_PADDING = 'zero padding keeps the output in floats; pad_values=1.0 or padding="valid" packs it'
UNKNOWN_SIZE = (
    "LCE pads with {value:g} only images of a fixed size, here {shapes}; give keras.Input height "
    'and width, or use padding="valid"'
)
PAD_VALUES = "LCE pads with 0 or 1, here pad_values={value:g}; use pad_values=1.0"
NEGATIVE_PADDING = (
    "padded with -1 in floats before the sign, so the layer before it keeps real outputs; "
    "pad_values=1.0 costs nothing"
)
DENSE_SIZES = (
    "LCE has no dense operator, and the 1x1 convolution in its place takes inputs of one rank with "
    "one unknown size, here {shapes}"
)
GROUPED = "LCE's default kernel refuses groups; run the file with use_indirect_bgemm=True"
UNKNOWN_INPUT = (
    "its input quantizer with precision=1 is none of Larq's signs: binary on the device only if "
    "LCE's converter takes it for a sign"
)
REAL_KERNEL = "binary inputs, real weights: not binary on the device"
REAL_INPUT = "binary weights, real inputs: not binary on the device, weights stored as real ones"
REAL = "real-valued layer"

# Their weights of rank 2 and more are looked up, or multiply element by element.
_NO_PRODUCT = (
    keras.layers.BatchNormalization,
    keras.layers.Embedding,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.Normalization,
    keras.layers.PReLU,
    lq.quantizers.Quantizer,
)


class LintResult(NamedTuple):
    """What is to be expected of one layer with a kernel.

    Attributes:
        layer: the layer's name.
        kind: its class.
        binary: it is meant to be, and on the device is expected to be, a binary operator.
        problem: why a layer with binary kernel and inputs cannot run binary, else "".
        note: what else there is to know, "" for nothing.
    """

    layer: str
    kind: str
    binary: bool
    problem: str
    note: str

    @property
    def meant_binary(self) -> bool:
        """Whether both the kernel and the inputs are binary in the model."""
        return self.binary or bool(self.problem)


def lint(model: keras.Model) -> list[LintResult]:
    """Say of each layer with a kernel whether it will run binary on the device.

    Args:
        model: a built functional or Sequential model, trained or frozen.

    Returns:
        A verdict for each layer that multiplies by weights (convolution, dense, attention,
        recurrent, your own), those of nested models included, in the order of the model.

    Raises:
        TypeError: the model is subclassed or belongs to Keras 3.
        ValueError: the model is not built, or cannot be frozen.

    >>> import kbnn
    >>> [v.layer for v in kbnn.converters.lint(kbnn.models.vgg_tiny()) if v.binary]
    ['conv_1', 'conv_2', 'conv_3']
    """
    return [lint_layer(layer) for layer in kernel_layers(freeze(model))]


def kernel_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a model that multiply by weights, nested ones included."""
    return [layer for layer in layers_of(model) if is_kernel_layer(layer)]


def is_kernel_layer(layer: keras.layers.Layer) -> bool:
    """Whether a layer multiplies by weights, its own or those of layers inside it."""
    if any(hasattr(layer, kernel) for kernel in KERNEL_QUANTIZERS.values()):
        return True
    matrices = any(len(weight.shape) > 1 for weight in layer.weights)
    return matrices and not isinstance(layer, _NO_PRODUCT)


def lint_layer(layer: keras.layers.Layer) -> LintResult:
    """What is to be expected of a layer with a kernel, which is part of a frozen model."""
    binary_kernel = _marked_binary(layer)
    meant = binary_kernel and inputs_are_binary(layer)
    problem = _problem(layer) if meant else ""
    if meant:
        note = "; ".join(_notes(layer))
    elif binary_kernel and getattr(layer.input_quantizer, "precision", None) == 1:
        note = UNKNOWN_INPUT
    elif binary_kernel:
        note = REAL_INPUT
    elif inputs_are_binary(layer):
        note = REAL_KERNEL
    else:
        note = REAL
    return LintResult(layer.name, type(layer).__name__, meant and not problem, problem, note)


def one_scale_per_output(kernel: np.ndarray) -> bool:
    """Whether a kernel is +-alpha, one positive alpha per output channel (the last axis)."""
    magnitude = np.abs(kernel.reshape(-1, kernel.shape[-1]))
    alpha = magnitude[0]
    # LCE's own tolerance is 0.5 %; freeze writes exact values, so far less is asked for here.
    return bool(np.all(alpha > 0) and np.all(np.abs(magnitude - alpha) <= 1e-5 * alpha))


def pads(layer: keras.layers.Layer) -> bool:
    """Whether a convolution pads."""
    return getattr(layer, "padding", None) == "same" and not pads_nothing(layer)


def sees_signs_directly(layer: keras.layers.Layer) -> bool:
    """Whether the signs that a binary layer takes are its own or those of the layer before it."""
    return getattr(layer, "input_quantizer", None) is not None or not any(
        isinstance(producer, SIGN_PRESERVING_LAYERS) for producer in producers(layer)
    )


def _problem(layer: keras.layers.Layer) -> str:
    if isinstance(layer, keras.layers.Dense):
        problem = _dense_problem(layer)
    elif not isinstance(layer, keras.layers.Conv2D) or isinstance(
        layer, keras.layers.Conv2DTranspose | keras.layers.DepthwiseConv2D
    ):
        return NO_BINARY_OP
    else:
        problem = _convolution_problem(layer)
    if not problem and not one_scale_per_output(layer.get_weights()[0]):
        return NOT_SIGN_KERNEL
    return problem


def _dense_problem(layer: keras.layers.Dense) -> str:
    shapes = input_shapes(layer)
    one_rank = len({len(shape) for shape in shapes}) == 1
    # A dense layer of rank 4 is a convolution as it stands, whatever the sizes.
    if one_rank and all(len(shape) == 4 or shape[1:].count(None) <= 1 for shape in shapes):
        return ""
    return DENSE_SIZES.format(shapes=_listed(shapes))


def _convolution_problem(layer: keras.layers.Conv2D) -> str:
    if layer.data_format != "channels_last":
        return CHANNELS_FIRST
    if layer.groups > 1 and layer.kernel.shape[2] % 32:
        return GROUPS.format(channels=layer.kernel.shape[2])
    value = _pad_value(layer)
    if not pads(layer) or value == 0.0:
        return ""
    paddings = same_paddings(layer)
    if paddings is None:
        return UNKNOWN_SIZE.format(value=value, shapes=_listed(input_shapes(layer)))
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


def _marked_binary(layer: keras.layers.Layer) -> bool:
    return any(
        getattr(getattr(layer, argument, None), "precision", None) == 1
        for argument in KERNEL_QUANTIZERS
    )


def _listed(shapes: list[tuple[int | None, ...]]) -> str:
    return " and ".join(f"input shape {shape}" for shape in shapes)
