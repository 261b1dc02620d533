"""The quantizers of a Larq layer, and their weights."""

from collections.abc import Collection
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn._larq import ApproxSign, Quantizer, SteSign, SwishSign
from kbnn.graph import hooks

# A Larq layer's arguments that quantize a weight, and the weight that each one quantizes.
KERNEL_QUANTIZERS = {
    "kernel_quantizer": "kernel",
    "depthwise_quantizer": "depthwise_kernel",
    "pointwise_quantizer": "pointwise_kernel",
    "recurrent_quantizer": "recurrent_kernel",
}

# Their forward pass is the hard sign.
_SIGNS = (SteSign, ApproxSign, SwishSign)
_SIGN_FUNCTIONS = ("ste_sign", "approx_sign", "swish_sign")


def is_quantizer(activation: Any) -> bool:
    """Whether an activation is a Larq quantizer, as an object or as a function."""
    return (
        isinstance(activation, Quantizer)
        or getattr(activation, "__name__", None) in _SIGN_FUNCTIONS
    )


def is_sign(quantizer: Any) -> bool:
    """Whether a quantizer's forward pass at inference is the sign, with sign(0) = +1."""
    frozen = hooks.frozen_quantizer(quantizer)
    quantizer = quantizer if frozen is None else frozen
    return isinstance(quantizer, _SIGNS) or getattr(quantizer, "__name__", None) in _SIGN_FUNCTIONS


def has_binary_kernel(layer: keras.layers.Layer) -> bool:
    """Whether a layer quantizes a kernel."""
    return bool(kernel_quantizers(layer))


def has_one_bit_kernel(layer: keras.layers.Layer) -> bool:
    """Whether a layer quantizes a kernel to one bit."""
    return any(
        getattr(quantizer, "precision", None) == 1
        for quantizer in kernel_quantizers(layer).values()
    )


def kernel_quantizers(layer: keras.layers.Layer) -> dict[str, Any]:
    """Return a layer's kernel quantizers by the names of the kernels, such as "kernel"."""
    found = {
        kernel: getattr(layer, argument, None) for argument, kernel in KERNEL_QUANTIZERS.items()
    }
    return {kernel: quantizer for kernel, quantizer in found.items() if quantizer is not None}


def is_binary(layer: keras.layers.Layer) -> bool:
    """Whether a layer has a quantizer, or is one."""
    return (
        has_binary_kernel(layer)
        or getattr(layer, "input_quantizer", None) is not None
        or is_quantizer(layer)
        or is_quantizer(getattr(layer, "activation", None))
    )


def quantizers_of(layer: keras.layers.Layer) -> dict[str, keras.layers.Layer]:
    """Return a layer's quantizers that are Keras layers, by the argument that set them."""
    arguments = [*KERNEL_QUANTIZERS, "input_quantizer", "activation"]
    found = {argument: getattr(layer, argument, None) for argument in arguments}
    return {
        argument: quantizer
        for argument, quantizer in found.items()
        if isinstance(quantizer, keras.layers.Layer)
    }


def quantized_kernels(model: keras.Model) -> dict[str, tuple[keras.layers.Layer, str]]:
    """Return the kernels that quantizer objects quantize: name -> (layer, argument).

    A name joins the names of layer and weight, such as "conv_1/kernel". A name that occurs again in
    a nested model gets a number.
    """
    found: dict[str, tuple[keras.layers.Layer, str]] = {}
    for layer in model.submodules:
        if not isinstance(layer, keras.layers.Layer):
            continue
        for argument in [one for one in quantizers_of(layer) if one in KERNEL_QUANTIZERS]:
            name = f"{layer.name}/{KERNEL_QUANTIZERS[argument]}"
            number = sum(key.split("#")[0] == name for key in found)
            found[f"{name}#{number + 1}" if number else name] = (layer, argument)
    return found


def check_kernels(model: keras.Model) -> None:
    """Raise ValueError for a kernel that its quantizer refuses by `check_kernel`."""
    for name, (layer, argument) in quantized_kernels(model).items():
        kernel = getattr(layer, KERNEL_QUANTIZERS[argument], None)
        if kernel is None:
            continue
        try:
            hooks.check_kernel(getattr(layer, argument), kernel.shape)
        except ValueError as error:
            raise ValueError(f"{error}, {name!r}") from error


def latent_kernel(layer: keras.layers.Layer, argument: str) -> tf.Tensor:
    """Return the real-valued kernel that a layer's quantizer at an argument quantizes."""
    kernel = getattr(layer, KERNEL_QUANTIZERS[argument])
    return tf.convert_to_tensor(getattr(kernel, "latent_variable", kernel))


def weights_without_quantizers(layer: keras.layers.Layer) -> list[Any]:
    """Return a layer's weights, except for the weights of its quantizers, in order."""
    others = {id(weight) for owner in quantizers_of(layer).values() for weight in owner.weights}
    return [weight for weight in layer.weights if id(weight) not in others]


def carry_learned_signs(layer: keras.layers.Layer, copy: keras.layers.Layer, argument: str) -> None:
    """Hand the learned signs of a kernel, if it has any, over to the quantizer of a layer's copy.

    The copy has the layer's latent kernel already.
    """
    kernel = getattr(copy, KERNEL_QUANTIZERS[argument])
    hooks.carry_signs(
        quantizers_of(layer)[argument],
        quantizers_of(copy).get(argument),
        latent_kernel(layer, argument),
        getattr(kernel, "latent_variable", kernel),
    )


def copy_quantizer_weights(
    layer: keras.layers.Layer, copy: keras.layers.Layer, arguments: Collection[str]
) -> None:
    """Copy the weights of a layer's quantizers at some arguments to the layer's copy."""
    before, after = quantizers_of(layer), quantizers_of(copy)
    for argument in arguments:
        after[argument].set_weights(before[argument].get_weights())
