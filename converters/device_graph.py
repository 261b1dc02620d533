"""Rewrites a frozen model to the form that LCE compiles correctly: same function, other layers."""

import math
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn._larq import QuantConv2D, Quantizer, SteSign, serialize_quantizer
from kbnn.converters.lint_rules import pads
from kbnn.converters.linted_model import LintedModel
from kbnn.graph.calls import Call, Shape, common_shape
from kbnn.graph.larq_quantizers import is_sign, weights_without_quantizers
from kbnn.graph.layers import from_config
from kbnn.graph.padding import NEGATIVE, same_paddings
from kbnn.graph.precision import dtype_policy
from kbnn.graph.rewrite import REMOVE, Replacement, rewrite
from kbnn.graph.signs import preserves_signs


def device_graph(frozen: LintedModel) -> keras.Model:
    """Rewrite a frozen model for LCE. It computes the same function.

    - A binary dense layer, for which LCE has no operator, becomes a 1x1 binary convolution.
    - A binary convolution whose `padding="same"` adds nothing becomes a "valid" one, whose output
      LCE can pack. One that pads with -1 is padded before its sign.
    - LCE looks for the sign directly before a convolution. A binary convolution that receives its
      signs through a layer such as `Flatten` or `MaxPooling2D` therefore takes the sign again.
    - A sign layer before max-pooling, flattening or a binary dense layer is removed if only binary
      layers follow, which take the sign again: the largest number has the largest sign. LCE then
      pools packed bits and keeps the output of a dense layer packed.
    - An input quantizer of the user's own becomes a layer, and the sign of its outputs is taken.
    """

    def replace(layer: keras.layers.Layer) -> Any:
        if isinstance(layer, keras.layers.Dense) and frozen.runs_binary(layer):
            return _behind_own_quantizer(layer, _dense_as_convolution(layer, frozen), frozen)
        if isinstance(layer, QuantConv2D) and frozen.runs_binary(layer):
            return _behind_own_quantizer(layer, _simpler_convolution(layer, frozen), frozen)
        if _is_redundant_sign(layer, frozen):
            return REMOVE
        return None

    with dtype_policy("float32"):
        return rewrite(frozen.model, replace)


class DenseAsConvolution(QuantConv2D):
    """A binary dense layer as a 1x1 convolution.

    Attributes:
        replaced_class: the class of the dense layer in the user's model.
    """

    replaced_class = ""


def _dense_as_convolution(layer: keras.layers.Dense, frozen: LintedModel) -> Replacement:
    config = layer.get_config()
    shared = ("name", "use_bias", "activation", "kernel_quantizer")
    shape = common_shape(frozen.calls_to(layer))
    convolution = DenseAsConvolution(
        layer.units,
        1,
        input_quantizer=_sign_config() if _takes_sign_again(layer, frozen) else None,
        **{key: config[key] for key in shared},
    )
    convolution.replaced_class = type(layer).__name__
    kernel, *bias = _own_weights(layer)
    return Replacement(_as_image(layer, convolution, shape), [kernel[None, None], *bias])


def _as_image(
    layer: keras.layers.Dense, convolution: keras.layers.Layer, shape: Shape
) -> keras.Model:
    """A 1x1 convolution applied to the input of a dense layer, whatever its rank."""
    *sizes, features = shape[1:]
    # The nested model has the layer's name too, because the outer model knows only the nested one.
    nested = keras.Sequential([keras.Input((*sizes, features))], name=layer.name)
    if len(sizes) == 2:
        nested.add(convolution)
        return nested
    known = [-1 if size is None else size for size in sizes]
    image = (-1 if None in sizes else math.prod(known), 1, features)
    nested.add(keras.layers.Reshape(image, name=f"{layer.name}_image"))
    nested.add(convolution)
    nested.add(keras.layers.Reshape((*known, layer.units), name=f"{layer.name}_features"))
    return nested


def _simpler_convolution(layer: QuantConv2D, frozen: LintedModel) -> Replacement:
    config = layer.get_config()
    negative = pads(layer) and layer.pad_values == NEGATIVE
    if not pads(layer) or negative:
        config.update(padding="valid", pad_values=0.0)
    directly = _has_sign_directly_before(layer, frozen)
    if negative or not directly or _own_quantizer(layer) is not None:
        config["input_quantizer"] = _sign_config()
    simpler = from_config(layer, config)
    shape = common_shape(frozen.calls_to(layer))
    new = _padded_before(layer, simpler, shape) if negative else simpler
    return Replacement(new, _own_weights(layer))


def _behind_own_quantizer(
    layer: keras.layers.Layer, replacement: Replacement, frozen: LintedModel
) -> Replacement:
    """Apply the user's own quantizer before a layer's replacement, which takes the sign of it."""
    quantizer = _own_quantizer(layer)
    if quantizer is None:
        return replacement
    if isinstance(quantizer, keras.layers.Layer):
        copy = from_config(quantizer, quantizer.get_config())
    else:
        copy = keras.layers.Activation(quantizer, name=f"{layer.name}_quantizer", dtype="float32")
    image = keras.Input(common_shape(frozen.calls_to(layer))[1:])
    nested = keras.Model(image, replacement.layer(copy(image)), name=layer.name)

    def give_weights(_: keras.layers.Layer) -> None:
        if isinstance(quantizer, keras.layers.Layer):
            copy.set_weights(quantizer.get_weights())
        replacement.layer.set_weights(replacement.weights)

    return Replacement(nested, give_weights)


def _own_quantizer(layer: keras.layers.Layer) -> Any:
    """The input quantizer of a layer, if it is not one of Larq's signs; or else None."""
    quantizer = getattr(layer, "input_quantizer", None)
    return None if quantizer is None or is_sign(quantizer) else quantizer


def _own_weights(layer: keras.layers.Layer) -> list[np.ndarray]:
    """A layer's weights, except for its quantizers'."""
    return [weight.numpy() for weight in weights_without_quantizers(layer)]


def _padded_before(
    layer: QuantConv2D, convolution: keras.layers.Layer, shape: Shape
) -> keras.Model:
    """A convolution on an image padded with -1, for which LCE has no packed operator."""
    # The lint rules allow only one padding in all calls of such a layer.
    (padding,) = same_paddings(layer) or [()]
    image = keras.Input(shape[1:])
    padded = tf.pad(image, [(0, 0), *padding, (0, 0)], constant_values=NEGATIVE)
    return keras.Model(image, convolution(padded), name=layer.name)


def _takes_sign_again(layer: keras.layers.Layer, frozen: LintedModel) -> bool:
    """Whether a binary layer's replacement takes the sign of its input itself."""
    dense = isinstance(layer, keras.layers.Dense)
    reshaped = dense and len(common_shape(frozen.calls_to(layer))) != 4
    return (
        getattr(layer, "input_quantizer", None) is not None
        or reshaped
        or not _has_sign_directly_before(layer, frozen)
    )


def _has_sign_directly_before(layer: keras.layers.Layer, frozen: LintedModel) -> bool:
    """Whether a binary layer takes the signs itself, or the layer directly before it does."""
    return getattr(layer, "input_quantizer", None) is not None or not any(
        producer is not None and preserves_signs(producer.layer)
        for call in frozen.calls_to(layer)
        for producer in call.producers
    )


def _sign_config() -> dict[str, Any]:
    return serialize_quantizer(SteSign(dtype="float32"))


def _is_redundant_sign(layer: keras.layers.Layer, frozen: LintedModel) -> bool:
    """Whether a layer is a sign, and only binary layers that take the sign again use it."""
    return (
        isinstance(layer, Quantizer)
        and is_sign(layer)
        and all(_reaches_only_signs(call, frozen) for call in frozen.calls_to(layer))
    )


def _reaches_only_signs(call: Call, frozen: LintedModel) -> bool:
    """Whether every path from a call leads to a sign, through layers that keep the order."""
    return (
        not call.is_output
        and bool(call.users)
        and all(_leads_to_sign(user, frozen) for user in call.users)
    )


def _leads_to_sign(call: Call, frozen: LintedModel) -> bool:
    if preserves_signs(call.layer):
        return _reaches_only_signs(call, frozen)
    own = _own_quantizer(call.layer) is not None
    return not own and frozen.runs_binary(call.layer) and _takes_sign_again(call.layer, frozen)
