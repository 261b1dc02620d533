"""From a training model to the plain binary network that ships."""

import inspect
from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn import _checks
from kbnn.graph.larq_quantizers import (
    KERNEL_QUANTIZERS,
    base_quantizer,
    check_kernels,
    is_quantizer,
    is_sign,
    quantizers_of,
    weights_without_quantizers,
)
from kbnn.graph.precision import float32_policy
from kbnn.graph.rewrite import REMOVE, Replacement, from_config, layers_of, rewrite

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

    Every kernel is evaluated through its quantizer and written as a constant, marked with
    `larq.quantizers.NoOp(precision=...)` so that Larq's summary still counts its bits. Every input
    quantizer becomes Larq's `ste_sign` if its forward pass is the sign, and otherwise stays.
    Constraints, regularisers, mixed precision, and dropout, noise and augmentation layers, which
    only training needs, are dropped (but `RandomCrop`, which crops at inference too, stays). The
    result computes what `model(x, training=False)` computes, in float32, and loads where Larq is
    installed and kbnn is not.

    A quantizer or layer of your own says what it freezes to by a method:

    - `quantizer.frozen_quantizer()` returns the Larq quantizer that takes the place of an input
      quantizer. (A kernel quantizer needs none: its kernel is evaluated.)
    - `layer.frozen_layer()` returns the layer that takes its place, or `(layer, weights)`, or
      `(layer, weights, then)` with a layer to apply to the output of the first.

    Args:
        model: a built functional or Sequential model, trained or not.

    Returns:
        A new model whose layers have the same names, not compiled. The given one is left as it is.

    Raises:
        TypeError: the model is subclassed or belongs to Keras 3, or a layer (`TimeDistributed`,
            say) holds quantized layers inside, which cannot be frozen there.
        ValueError: the model is not built, weights are not finite, a layer is called with
            `training=True`, or an input quantizer of your own is not registered with Keras; the
            message names the layer.

    >>> import kbnn, numpy as np
    >>> frozen = kbnn.converters.freeze(kbnn.models.vgg_tiny())
    >>> np.unique(frozen.get_layer("conv_1").get_weights()[0]).tolist()
    [-1.0, 1.0]
    """
    _checks.keras2_model("model", model)
    check_kernels(model)
    _check_finite(model)
    _check_inference(model)
    with float32_policy():
        return rewrite(model, _frozen_layer)


def _check_finite(model: keras.Model) -> None:
    """Raise ValueError, with the layers' names, if a weight is NaN or infinite."""
    broken = [
        f"{layer.name} ({weight.name}: {int(count)} of {weight.shape.num_elements()})"
        for layer in layers_of(model)
        for weight in layer.weights
        if weight.dtype.is_floating
        and (count := tf.reduce_sum(tf.cast(~tf.math.is_finite(weight), tf.int64)))
    ]
    if broken:
        raise ValueError(
            "Expected finite weights. Received: NaN or infinite values in " + "; ".join(broken)
        )


def _check_inference(model: keras.Model) -> None:
    """Raise ValueError, with the layers' names, if layers always behave as in training."""
    training = dict.fromkeys(_layers_called_in_training(model))
    if training:
        raise ValueError(
            "Expected layers to be called without training=True, so that they behave on the device "
            f"as at inference. Received: training=True in the call of {', '.join(training)}. Leave "
            "`training` out: fit sets it to True and predict to False."
        )


def _layers_called_in_training(model: keras.Model) -> list[str]:
    # A model that is subclassed or not built has no nodes; `rewrite` refuses it.
    nodes = [node for depth in getattr(model, "_nodes_by_depth", {}).values() for node in depth]
    found = []
    for node in nodes:
        layer = node.layer
        if not node.is_input and _is_called_in_training(node):
            found.append(f"{layer.name!r} ({type(layer).__name__})")
        if isinstance(layer, keras.Model):
            found += _layers_called_in_training(layer)
    return found


def _is_called_in_training(node: Any) -> bool:
    # One that is not trainable runs at inference even so.
    if isinstance(node.layer, keras.layers.BatchNormalization) and not node.layer.trainable:
        return False
    signature = inspect.signature(node.layer.call)
    arguments = signature.bind(*node.call_args, **node.call_kwargs).arguments
    training = arguments.get("training", arguments.get("kwargs", {}).get("training"))
    return isinstance(training, bool | int) and bool(training)


def _frozen_layer(layer: keras.layers.Layer) -> Any:
    if hasattr(layer, "frozen_layer"):
        frozen = layer.frozen_layer()
        return Replacement(*frozen) if isinstance(frozen, tuple) else frozen
    if isinstance(layer, _TRAINING_ONLY):
        return REMOVE
    _check_no_hidden_quantizers(layer)
    if isinstance(layer, lq.quantizers.Quantizer):
        return _frozen_quantizer(layer)
    config = layer.get_config()
    if "dtype" in config:
        config["dtype"] = "float32"
    kernels = _quantized_kernels(layer)
    for argument in kernels:
        precision = getattr(getattr(layer, argument), "precision", None)
        config[argument] = None
        if precision is not None:
            marker = lq.quantizers.NoOp(
                precision=precision, name=f"{layer.name}_{argument}", dtype="float32"
            )
            config[argument] = lq.quantizers.serialize(marker)
    for argument in list(config):
        if argument.endswith(("_constraint", "_regularizer")):
            config[argument] = None
    if getattr(layer, "input_quantizer", None) is not None:
        config["input_quantizer"] = lq.quantizers.serialize(
            _frozen_quantizer(layer.input_quantizer)
        )
    if is_quantizer(getattr(layer, "activation", None)):
        config["activation"] = lq.quantizers.serialize(_frozen_quantizer(layer.activation))
    values = [weight.numpy() for weight in weights_without_quantizers(layer)]
    for argument, kernel in kernels.items():
        values[_position(layer, getattr(layer, KERNEL_QUANTIZERS[argument]))] = kernel

    def give_weights(frozen: keras.layers.Layer) -> None:
        for weight, value in zip(weights_without_quantizers(frozen), values, strict=True):
            weight.assign(value)
        before = {name: base_quantizer(one) for name, one in quantizers_of(layer).items()}
        after = quantizers_of(frozen)
        stayed = [
            argument
            for argument in before.keys() & after.keys()
            if type(before[argument]) is type(after[argument])
        ]
        for argument in stayed:
            after[argument].set_weights(before[argument].get_weights())

    return Replacement(from_config(layer, config), give_weights)


def _frozen_quantizer(quantizer: Any) -> Any:
    if hasattr(quantizer, "frozen_quantizer"):
        return quantizer.frozen_quantizer()
    name = getattr(quantizer, "name", None)
    if is_sign(quantizer):
        return lq.quantizers.SteSign(name=name, dtype="float32")
    if isinstance(quantizer, keras.layers.Layer):
        return from_config(quantizer, {**quantizer.get_config(), "dtype": "float32"})
    return quantizer


def _quantized_kernels(layer: keras.layers.Layer) -> dict[str, np.ndarray]:
    """The layer's kernels as its forward pass reads them, by the argument that quantizes them."""
    with lq.context.quantized_scope(True):
        return {
            argument: tf.cast(tf.convert_to_tensor(getattr(layer, kernel)), tf.float32).numpy()
            for argument, kernel in KERNEL_QUANTIZERS.items()
            if getattr(layer, argument, None) is not None and hasattr(layer, kernel)
        }


def _position(layer: keras.layers.Layer, kernel: Any) -> int:
    """Where a kernel stands in the list of the layer's own weights."""
    return next(i for i, weight in enumerate(weights_without_quantizers(layer)) if weight is kernel)


def _check_no_hidden_quantizers(layer: keras.layers.Layer) -> None:
    own = {id(quantizer) for quantizer in quantizers_of(layer).values()}
    inside = [
        module.name
        for module in layer.submodules
        if isinstance(module, lq.quantizers.Quantizer) and id(module) not in own
    ]
    # A quantizer may be made of others.
    if inside and not isinstance(layer, lq.quantizers.Quantizer) and not own:
        raise TypeError(
            "Expected quantized layers to be layers of the model, or of a functional model nested "
            f"in it. Received: layer {layer.name!r} ({type(layer).__name__}) with the quantizers "
            f"{', '.join(inside)} inside. Apply the inner layers themselves."
        )
