"""The network as its training sees it: smooth signs that stay smooth."""

from typing import Any

import larq as lq
import tensorflow as tf
import tf_keras as keras

from kbnn.graph.larq_quantizers import base_quantizer, copy_quantizer_weights, quantizers_of
from kbnn.graph.rewrite import Replacement, rewrite
from kbnn.techniques.self_binarizing.binary_batch_normalization import BinaryBatchNormalization
from kbnn.techniques.self_binarizing.smooth_sign import SmoothSign


def smooth_network(model: keras.Model) -> keras.Model:
    """Copy a model, with every `SmoothSign` at inference what it is in training.

    That is smooth, but for those whose `hard_forward` is on.

    `evaluate` on the copy gives the accuracy of the network that training sees; on the model itself
    that of the one that ships. The difference is what the sharpening has still to close. Batch
    normalization runs with its moving statistics in both. The copy is to look at, not to ship.

    Args:
        model: a built functional or Sequential model.

    Returns:
        A new model, not compiled. The given one is left as it is.

    Raises:
        TypeError: the model is subclassed or belongs to Keras 3.
        ValueError: the model is not built, or has no `SmoothSign`.

    >>> import kbnn
    >>> model = kbnn.models.vgg_tiny(width=8, input_quantizer="smooth_sign")
    >>> smooth = kbnn.techniques.smooth_network(model)
    """
    replaced: list[tuple[keras.layers.Layer, keras.layers.Layer, set[str]]] = []
    found: list[SmoothSign] = []

    def replace(layer: keras.layers.Layer) -> Any:
        if isinstance(base_quantizer(layer), SmoothSign):
            found.append(base_quantizer(layer))
            return _stays_smooth(base_quantizer(layer), layer.name)
        own = {
            argument: base_quantizer(quantizer)
            for argument, quantizer in quantizers_of(layer).items()
            if isinstance(base_quantizer(quantizer), SmoothSign)
        }
        found.extend(own.values())
        if not own:
            return None
        if isinstance(layer, BinaryBatchNormalization):
            return _uncompared(layer)
        changes = {argument: _stays_smooth(one, one.name) for argument, one in own.items()}
        copy = type(layer).from_config({**layer.get_config(), **changes})
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


@lq.utils.register_alias("_AlwaysSmooth")  # Larq's loader of `.h5` files looks here
@keras.utils.register_keras_serializable(package="kbnn")
class _AlwaysSmooth(SmoothSign):
    def call(self, inputs: tf.Tensor, training: Any = None) -> tf.Tensor:
        return super().call(inputs, training=True)


def _stays_smooth(quantizer: SmoothSign, name: str) -> SmoothSign:
    sharpness, hard_forward = map(
        keras.backend.get_value, (quantizer.sharpness, quantizer.hard_forward)
    )
    return _AlwaysSmooth(float(sharpness), bool(hard_forward), name=name)


def _uncompared(layer: BinaryBatchNormalization) -> Replacement:
    config = layer.get_config()
    del config["activation"]
    normalization = keras.layers.BatchNormalization.from_config(config)
    sign = base_quantizer(layer.activation)
    return Replacement(normalization, then=_stays_smooth(sign, sign.name))
