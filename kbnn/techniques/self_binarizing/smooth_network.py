"""A copy of a network whose smooth signs stay smooth at inference."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn._larq import register_alias
from kbnn.graph.hooks import base_quantizer
from kbnn.graph.larq_quantizers import copy_quantizer_weights, quantizers_of
from kbnn.graph.layers import from_config
from kbnn.graph.rewrite import Replacement, rewrite
from kbnn.techniques.self_binarizing.binary_batch_normalization import BinaryBatchNormalization
from kbnn.techniques.self_binarizing.smooth_sign import SmoothSign


def smooth_network(model: keras.Model) -> keras.Model:
    """Copy a model so that every `SmoothSign` does at inference what it does in training.

    Use it to see how far the sharpening still has to go: `evaluate` on the copy gives the accuracy
    of the network that training sees, `evaluate` on the model gives the accuracy of the network
    that ships. Batch normalization runs with its moving statistics in both. A `SmoothSign` whose
    `hard_forward` is on stays hard. The copy cannot be converted to a device file.

    Args:
        model: a built functional or Sequential model.

    Returns:
        A new model, not compiled. The given model does not change.

    Raises:
        TypeError: the model is subclassed, or is a Keras 3 model.
        ValueError: the model is not built or has no `SmoothSign`.

    Example:
        >>> import kbnn
        >>> model = kbnn.models.vgg_tiny(width=8, input_quantizer="smooth_sign")
        >>> smooth = kbnn.techniques.smooth_network(model)
    """
    replaced: list[tuple[keras.layers.Layer, keras.layers.Layer, set[str]]] = []
    found: list[SmoothSign] = []

    def replace(layer: keras.layers.Layer) -> Any:
        if isinstance(base_quantizer(layer), SmoothSign):
            found.append(base_quantizer(layer))
            return _always_smooth(base_quantizer(layer), layer.name)
        own = {
            argument: base_quantizer(quantizer)
            for argument, quantizer in quantizers_of(layer).items()
            if isinstance(base_quantizer(quantizer), SmoothSign)
        }
        found.extend(own.values())
        if not own:
            return None
        if isinstance(layer, BinaryBatchNormalization):
            return _smooth_normalization(layer)
        changes = {argument: _always_smooth(one, one.name) for argument, one in own.items()}
        copy = from_config(layer, {**layer.get_config(), **changes})
        replaced.append((layer, copy, quantizers_of(layer).keys() - own.keys()))
        return copy

    copy = rewrite(model, replace)
    if not found:
        raise ValueError(
            "Expected a model with a kbnn.quantizers.SmoothSign. "
            f"Received: model={model.name!r} without one"
        )
    for old, new, arguments in replaced:
        copy_quantizer_weights(old, new, arguments)
    return copy


@register_alias("_AlwaysSmooth")  # Larq's loader of `.h5` files looks here
@keras.utils.register_keras_serializable(package="kbnn")
class _AlwaysSmooth(SmoothSign):
    """A `SmoothSign` that is in training always."""

    def call(self, inputs: tf.Tensor, training: Any = None) -> tf.Tensor:
        return super().call(inputs, training=True)


def _always_smooth(quantizer: SmoothSign, name: str) -> SmoothSign:
    sharpness, hard_forward = map(
        keras.backend.get_value, (quantizer.sharpness, quantizer.hard_forward)
    )
    return _AlwaysSmooth(float(sharpness), bool(hard_forward), name=name)


def _smooth_normalization(layer: BinaryBatchNormalization) -> Replacement:
    """Keras's batch normalization and a smooth sign, in place of a comparison."""
    config = layer.get_config()
    del config["activation"]
    normalization = keras.layers.BatchNormalization.from_config(config)
    sign = base_quantizer(layer.activation)
    return Replacement(normalization, then=_always_smooth(sign, sign.name))
