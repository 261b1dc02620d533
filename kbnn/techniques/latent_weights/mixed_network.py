"""A binary network whose layers, in training, compute with their latent weights too."""

import functools
from collections.abc import Callable
from typing import Any

import larq as lq
import tensorflow as tf
import tf_keras as keras

from kbnn.graph.larq_quantizers import has_binary_kernel, kernel_quantizers
from kbnn.graph.layers import layers_of, weights_by_name
from kbnn.graph.replay import copy_graph
from kbnn.techniques.latent_weights.latent_layer import LatentLayer, rescale_to_mean_abs
from kbnn.techniques.latent_weights.twin import check_trainable
from kbnn.techniques.self_binarizing.smooth_sign import SmoothSign

Combine = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def mixed_network(
    model: keras.Model,
    combine: Combine,
    activation: Callable[[Any], tf.Tensor],
    *,
    read_bias: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
) -> keras.Model:
    """The model with other outputs of its binary layers, on the same weights and statistics.

    Args:
        model: a built functional or Sequential model with layers of quantized kernels.
        combine: takes what such a layer gives, and what it gives with real-valued activations and
            latent kernels, these `resized` to the quantized ones; returns its output.
        activation: in place of input quantizers, for the second of them.
        read_bias: what the second of them takes for a bias.

    Raises:
        ValueError: no such layer, or one that is not Larq's; losses or metrics of tensors; masks.
    """
    check_trainable(model)
    if not any(map(has_binary_kernel, layers_of(model))):
        raise ValueError(
            "Expected a model with layers of quantized kernels. "
            f"Received: model={model.name!r} without one"
        )
    borrowed: dict[int, keras.layers.Layer] = {}

    def borrow(layer: keras.layers.Layer) -> keras.layers.Layer:
        if id(layer) not in borrowed:
            name = f"{layer.name}_mixed"
            if isinstance(layer, keras.Model):
                borrowed[id(layer)] = copy_graph(layer, borrow, name)
            elif any(map(has_binary_kernel, [layer, *_inner(layer)])):
                if not isinstance(layer, lq.layers_base.BaseLayer):
                    raise ValueError(
                        "Expected Larq's layers where kernels are quantized. "
                        f"Received: {layer.name!r}, a {type(layer).__name__}"
                    )
                borrowed[id(layer)] = MixedLayer(layer, combine, activation, read_bias, name)
            else:
                borrowed[id(layer)] = _Borrowed(layer, name=name)
        return borrowed[id(layer)]

    mixed = copy_graph(model, borrow, f"{model.name}_mixed")
    known = {id(weight) for weight in model.weights}
    for layer in borrowed.values():
        foreign = [weight.name for weight in layer.weights if id(weight) not in known]
        if foreign:
            raise ValueError(
                "Expected layers with kernels and biases of Larq's alone, or with further weights "
                "that they add in `build`, by different names. Received: "
                f"{layer.name.removesuffix('_mixed')!r} with {', '.join(foreign)}"
            )
    return mixed


def _inner(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    return [inner for inner in layer.submodules if isinstance(inner, keras.layers.Layer)]


def _as_large_as_quantized(quantizer: Any, kernel: tf.Tensor) -> tf.Tensor:
    """A kernel `resized` to the mean absolute value that it has when it is quantized."""
    if isinstance(quantizer, lq.quantizers.MagnitudeAwareSign | lq.quantizers.NoOp):
        return rescale_to_mean_abs(kernel)
    if isinstance(quantizer, SmoothSign):
        return rescale_to_mean_abs(
            kernel, tf.reduce_mean(tf.abs(tf.cast(quantizer(kernel), tf.float32)))
        )
    return rescale_to_mean_abs(kernel, 1.0)


class _Borrowed(keras.layers.Layer):
    """A layer of another model; called as itself, it would count its uses in both."""

    def __init__(self, layer: keras.layers.Layer, **options: Any) -> None:
        super().__init__(dtype=layer.dtype_policy, autocast=False, **options)
        self.layer = layer

    def call(self, inputs: Any, *arguments: Any, **options: Any) -> Any:
        return self.layer(inputs, *arguments, **options)


class MixedLayer(_Borrowed):
    """A binary layer whose output is combined with that of its latent weights."""

    def __init__(
        self,
        layer: keras.layers.Layer,
        combine: Combine,
        activation: Callable[[Any], tf.Tensor],
        read_bias: Callable[[tf.Tensor], tf.Tensor],
        name: str,
    ) -> None:
        super().__init__(layer, name=name)
        read = {"bias": read_bias}
        for kernel, quantizer in kernel_quantizers(layer).items():
            read[kernel] = functools.partial(_as_large_as_quantized, quantizer)
        shared = weights_by_name(layer)
        self._latent = LatentLayer(layer, shared, activation, read, name=f"{name}_real")
        self._combine = combine

    def call(self, inputs: Any) -> tf.Tensor:
        return self._combine(self.layer(inputs), self._latent(inputs))
