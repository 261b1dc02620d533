"""A binary network whose layers, in training, compute with their latent weights too."""

from collections.abc import Callable
from typing import Any

import larq as lq
import tensorflow as tf
import tf_keras as keras

from kbnn.quantizers.attached import KERNEL_QUANTIZERS, has_binary_kernel
from kbnn.training.latent_path import LatentLayer
from kbnn.training.real_twin import check_trainable
from kbnn.training.rewrite import copy_graph, layers_of

Combine = Callable[[tf.Tensor, tf.Tensor, "MixedLayer"], tf.Tensor]


def mixed_network(
    model: keras.Model, combine: Combine, activation: Callable[[Any], tf.Tensor]
) -> keras.Model:
    """The model with other outputs of its binary layers, on the same weights and statistics.

    Args:
        model: a built functional or Sequential model with layers of quantized kernels.
        combine: takes what such a layer gives, what it gives with real-valued activations and
            latent kernels, and the layer itself; returns its output.
        activation: in place of input quantizers, for the second of them.

    Raises:
        ValueError: no such layer, or one that is not Larq's; losses or metrics of tensors; masks.
    """
    check_trainable(model)
    if not any(map(has_binary_kernel, layers_of(model))):
        raise ValueError(
            "Expected a model with layers of quantized kernels. "
            f"Received: model={model.name!r} without one"
        )
    borrowed: dict[int, Callable] = {}

    def borrow(layer: keras.layers.Layer) -> Callable:
        if id(layer) not in borrowed:
            name = f"{layer.name}_mixed"
            if isinstance(layer, keras.Model):
                borrowed[id(layer)] = copy_graph(layer, borrow, name)
            elif has_binary_kernel(layer):
                if not isinstance(layer, lq.layers_base.BaseLayer):
                    raise ValueError(
                        "Expected Larq's layers where kernels are quantized. "
                        f"Received: {layer.name!r}, a {type(layer).__name__}"
                    )
                borrowed[id(layer)] = MixedLayer(layer, combine, activation, name=name)
            else:
                borrowed[id(layer)] = _Borrowed(layer, name=name)
        return borrowed[id(layer)]

    return copy_graph(model, borrow, f"{model.name}_mixed")


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
        **options: Any,
    ) -> None:
        super().__init__(layer, **options)
        kernels = set(KERNEL_QUANTIZERS.values())
        self._latent = LatentLayer(layer, kernels | {"bias"}, activation, name=f"{self.name}_real")
        self._combine = combine

    def call(self, inputs: Any) -> tf.Tensor:
        return self._combine(self.layer(inputs), self._latent(inputs), self)

    def to_size_of_signs(self, real: tf.Tensor) -> tf.Tensor:
        """An output of the latent weights, as if their mean absolute value were 1."""
        kernels = [tf.convert_to_tensor(kernel) for kernel in self._latent.kernels]
        for kernel in kernels:
            mean = tf.maximum(tf.reduce_mean(tf.abs(tf.cast(kernel, tf.float32))), 1e-8)
            real /= tf.cast(tf.stop_gradient(mean), real.dtype)
        return real
