"""Which layers will run binary on the device, which will not, and why."""

from typing import Any, NamedTuple

import larq as lq
import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn.converters.freeze import KERNEL_QUANTIZERS, freeze, is_quantizer, is_sign
from kbnn.training.rewrite import layers_of

NO_BINARY_OP = "LCE has binary operators for 2-D convolutions and dense layers alone"
CHANNELS_FIRST = 'LCE needs data_format="channels_last"'
GROUPS = "LCE needs a multiple of 32 input channels per group, here {channels}"
NOT_SIGN_KERNEL = "the kernel's values are not +-alpha with one alpha per output channel"
ZERO_PADDING = 'zero padding keeps the output in floats; pad_values=1.0 or padding="valid" packs it'
GROUPED = "LCE's default kernel refuses groups; run the file with use_indirect_bgemm=True"
REAL_KERNEL = "binary inputs, real weights: runs in floats"
REAL_INPUT = "binary weights, real inputs: runs in floats, weights stored as float32"
REAL = "real-valued layer"

# Layers through which +-1 values pass unchanged or as a choice among them.
_TRANSPARENT = (
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.MaxPooling2D,
    keras.layers.Dropout,
    keras.layers.Permute,
)


class Verdict(NamedTuple):
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


def lint(model: keras.Model) -> list[Verdict]:
    """Say of each layer with a kernel whether it will run binary on the device.

    Args:
        model: a built functional or Sequential model, trained or frozen.

    Returns:
        A verdict for each convolution and dense layer, those of nested models included, in the
        order of the model.

    Raises:
        TypeError: the model is subclassed or belongs to Keras 3.
        ValueError: the model is not built.

    >>> import kbnn
    >>> [v.layer for v in kbnn.converters.lint(kbnn.models.vgg_tiny()) if v.binary]
    ['conv_1', 'conv_2', 'conv_3']
    """
    return [judge(layer) for layer in kernel_layers(freeze(model))]


def kernel_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a model that multiply by a kernel, nested ones included."""
    return [layer for layer in layers_of(model) if is_kernel_layer(layer)]


def is_kernel_layer(layer: keras.layers.Layer) -> bool:
    """Whether a layer multiplies by a kernel."""
    return any(hasattr(layer, kernel) for kernel in KERNEL_QUANTIZERS.values())


def binary_inputs(layer: keras.layers.Layer) -> bool:
    """Whether all that a layer of a frozen model multiplies is +-1."""
    if getattr(layer, "input_quantizer", None) is not None:
        return is_sign(layer.input_quantizer)
    producers = _producers(layer)
    return bool(producers) and all(_gives_signs(producer) for producer in producers)


def judge(layer: keras.layers.Layer) -> Verdict:
    """What is to be expected of a layer with a kernel, which is part of a frozen model."""
    binary_kernel = _marked_binary(layer)
    meant = binary_kernel and binary_inputs(layer)
    problem = _problem(layer) if meant else ""
    if meant:
        notes = [ZERO_PADDING] if _pads_with_zeros(layer) else []
        notes += [GROUPED] if getattr(layer, "groups", 1) > 1 else []
        note = "; ".join(notes)
    elif binary_kernel:
        note = REAL_INPUT
    elif binary_inputs(layer):
        note = REAL_KERNEL
    else:
        note = REAL
    return Verdict(layer.name, type(layer).__name__, meant and not problem, problem, note)


def _problem(layer: keras.layers.Layer) -> str:
    if not isinstance(layer, lq.layers.QuantConv2D | lq.layers.QuantDense | keras.layers.Conv2D):
        return NO_BINARY_OP
    if isinstance(layer, keras.layers.Conv2DTranspose | keras.layers.DepthwiseConv2D):
        return NO_BINARY_OP
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return CHANNELS_FIRST
    if getattr(layer, "groups", 1) > 1 and layer.kernel.shape[2] % 32:
        return GROUPS.format(channels=layer.kernel.shape[2])
    if not one_scale_per_output(layer.get_weights()[0]):
        return NOT_SIGN_KERNEL
    return ""


def one_scale_per_output(kernel: np.ndarray) -> bool:
    """Whether a kernel is +-alpha, one positive alpha per output channel (the last axis)."""
    magnitude = np.abs(kernel.reshape(-1, kernel.shape[-1]))
    alpha = magnitude[0]
    # LCE's own tolerance is 0.5 %; freeze writes exact values, so far less is asked for here.
    return bool(np.all(alpha > 0) and np.all(np.abs(magnitude - alpha) <= 1e-5 * alpha))


def _marked_binary(layer: keras.layers.Layer) -> bool:
    return any(
        getattr(getattr(layer, argument, None), "precision", None) == 1
        for argument in KERNEL_QUANTIZERS
    )


def _pads_with_zeros(layer: keras.layers.Layer) -> bool:
    return (
        getattr(layer, "padding", None) == "same"
        and float(getattr(layer, "pad_values", 0.0)) != 1.0
        and max(getattr(layer, "kernel_size", (1,))) > 1
    )


def _gives_signs(layer: Any) -> bool:
    if isinstance(layer, lq.quantizers.Quantizer):
        return is_sign(layer)
    activation = getattr(layer, "activation", None)
    if activation is not None and is_quantizer(activation):
        return is_sign(activation)
    if isinstance(layer, _TRANSPARENT):
        producers = _producers(layer)
        return bool(producers) and all(_gives_signs(producer) for producer in producers)
    return False


def _producers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layers whose outputs a layer takes, in all its uses."""
    return [
        producer
        for node in layer.inbound_nodes
        for producer in tf.nest.flatten(node.inbound_layers)
    ]
