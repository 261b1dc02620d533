"""Turns a trained model into the plain binary network that ships."""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn import _checks
from kbnn._larq import NoOp, Quantizer, SteSign, quantized_scope, serialize_quantizer
from kbnn.graph import hooks
from kbnn.graph.inference import check_finite_weights, check_no_training_calls
from kbnn.graph.larq_quantizers import (
    KERNEL_QUANTIZERS,
    check_kernels,
    is_quantizer,
    is_sign,
    quantizers_of,
    weights_without_quantizers,
)
from kbnn.graph.layers import from_config
from kbnn.graph.precision import dtype_policy
from kbnn.graph.rewrite import REMOVE, Replacement, rewrite

# Identities at inference.
_TRAINING_ONLY = (
    keras.layers.ActivityRegularization,
    keras.layers.AlphaDropout,
    keras.layers.Dropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.RandomBrightness,
    keras.layers.RandomContrast,
    keras.layers.RandomFlip,
    keras.layers.RandomRotation,
    keras.layers.RandomTranslation,
    keras.layers.RandomZoom,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
)


def freeze(model: keras.Model) -> keras.Model:
    """Turn a trained model into the plain network that ships: Larq and Keras layers, +-1 kernels.

    - Each quantized kernel becomes a constant, which `larq.quantizers.NoOp(precision=...)` marks so
      that Larq's summary still counts its bits.
    - Each input quantizer that computes the sign becomes Larq's `ste_sign`. Other input quantizers
      stay.
    - Constraints, regularizers, mixed precision, and the layers that only training needs (dropout,
      noise, augmentation) are removed. `RandomCrop` stays, because it crops at inference too.

    The result computes what `model(x, training=False)` computes, in float32. To load it you need
    Larq, but not kbnn. Layers and quantizers of your own can say what they become: see
    "Layers and quantizers of your own" in docs/models.md.

    Args:
        model: a built functional or Sequential model, trained or not.

    Returns:
        A new model, not compiled, whose layers have the same names. The given model does not
        change.

    Raises:
        TypeError: the model is subclassed or belongs to Keras 3, or a layer such as
            `TimeDistributed` holds quantized layers inside.
        ValueError: the model is not built, weights are not finite, a layer is called with
            `training=True`, or an input quantizer of yours is not registered with Keras. The
            message names the layer.

    Example:
        >>> import kbnn, numpy as np
        >>> frozen = kbnn.converters.freeze(kbnn.models.vgg_tiny())
        >>> np.unique(frozen.get_layer("conv_1").get_weights()[0]).tolist()
        [-1.0, 1.0]
    """
    _checks.keras2_model("model", model)
    check_kernels(model)
    check_finite_weights(model)
    check_no_training_calls(model)
    with dtype_policy("float32"):
        return rewrite(model, _freeze_layer)


def _freeze_layer(layer: keras.layers.Layer) -> Any:
    """Return what `rewrite` puts in place of a layer."""
    own = hooks.frozen_layer(layer)
    if own is not None:
        return Replacement(*own) if isinstance(own, tuple) else own
    if isinstance(layer, _TRAINING_ONLY):
        return REMOVE
    _check_no_hidden_quantizers(layer)
    if isinstance(layer, Quantizer):
        return _freeze_quantizer(layer)
    config = layer.get_config()
    if "dtype" in config:
        config["dtype"] = "float32"
    kernels = _quantized_kernels(layer)
    for argument in kernels:
        precision = getattr(getattr(layer, argument), "precision", None)
        config[argument] = None
        if precision is not None:
            marker = NoOp(precision=precision, name=f"{layer.name}_{argument}", dtype="float32")
            config[argument] = serialize_quantizer(marker)
    for argument in list(config):
        if argument.endswith(("_constraint", "_regularizer")):
            config[argument] = None
    if getattr(layer, "input_quantizer", None) is not None:
        config["input_quantizer"] = serialize_quantizer(_freeze_quantizer(layer.input_quantizer))
    if is_quantizer(getattr(layer, "activation", None)):
        config["activation"] = serialize_quantizer(_freeze_quantizer(layer.activation))
    values = [weight.numpy() for weight in weights_without_quantizers(layer)]
    for argument, kernel in kernels.items():
        values[_position(layer, getattr(layer, KERNEL_QUANTIZERS[argument]))] = kernel

    def give_weights(frozen: keras.layers.Layer) -> None:
        for weight, value in zip(weights_without_quantizers(frozen), values, strict=True):
            weight.assign(value)
        before = {name: hooks.base_quantizer(one) for name, one in quantizers_of(layer).items()}
        after = quantizers_of(frozen)
        stayed = [
            argument
            for argument in before.keys() & after.keys()
            if type(before[argument]) is type(after[argument])
        ]
        for argument in stayed:
            after[argument].set_weights(before[argument].get_weights())

    return Replacement(from_config(layer, config), give_weights)


def _freeze_quantizer(quantizer: Any) -> Any:
    own = hooks.frozen_quantizer(quantizer)
    if own is not None:
        return own
    name = getattr(quantizer, "name", None)
    if is_sign(quantizer):
        return SteSign(name=name, dtype="float32")
    if isinstance(quantizer, keras.layers.Layer):
        return from_config(quantizer, {**quantizer.get_config(), "dtype": "float32"})
    return quantizer


def _quantized_kernels(layer: keras.layers.Layer) -> dict[str, np.ndarray]:
    """The layer's kernels as its forward pass reads them, by the argument that quantizes them."""
    with quantized_scope(True):
        return {
            argument: tf.cast(tf.convert_to_tensor(getattr(layer, kernel)), tf.float32).numpy()
            for argument, kernel in KERNEL_QUANTIZERS.items()
            if getattr(layer, argument, None) is not None and hasattr(layer, kernel)
        }


def _position(layer: keras.layers.Layer, kernel: Any) -> int:
    """The index of a kernel in the list of the layer's own weights."""
    return next(i for i, weight in enumerate(weights_without_quantizers(layer)) if weight is kernel)


def _check_no_hidden_quantizers(layer: keras.layers.Layer) -> None:
    own = {id(quantizer) for quantizer in quantizers_of(layer).values()}
    inside = [
        module.name
        for module in layer.submodules
        if isinstance(module, Quantizer) and id(module) not in own
    ]
    # A quantizer may be made of others.
    if inside and not isinstance(layer, Quantizer) and not own:
        raise TypeError(
            "Expected quantized layers to be layers of the model, or of a functional model nested "
            f"in it. Received: layer {layer.name!r} ({type(layer).__name__}) with the quantizers "
            f"{', '.join(inside)} inside. Apply the inner layers themselves."
        )
