"""Layers that compute with the latent weights of a binary network."""

from collections.abc import Callable, Collection
from typing import Any

import larq as lq
import tensorflow as tf
import tf_keras as keras

from kbnn.quantizers.attached import KERNEL_QUANTIZERS, is_quantizer
from kbnn.training.rewrite import from_config, weights_by_name


def hard_tanh(x: Any) -> tf.Tensor:
    """What the gradient of `ste_sign` is that of: clip x to -1 to 1."""
    return tf.clip_by_value(x, -1.0, 1.0)


def activation_of(activation: Any) -> Callable[[Any], tf.Tensor]:
    """The function of a name: "hard_tanh", or one of Keras's."""
    if activation == "hard_tanh":
        return hard_tanh
    return keras.activations.get(activation)


class LatentLayer(keras.layers.Layer):
    """What a layer computes without its quantizers, with weights that are the layer's.

    A binary layer's kernels are used as they are, not as they are quantized; an activation stands
    where its input quantizer does.

    Args:
        layer: a built layer, of Larq's or with a kernel of its own.
        shared: the names of the weights that are the layer's; the others are new.
        activation: in place of quantizers.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        shared: Collection[str],
        activation: Callable[[Any], tf.Tensor],
        **options: Any,
    ) -> None:
        super().__init__(dtype=layer.dtype_policy, **options)
        self._shared = {
            name: found for name, found in weights_by_name(layer).items() if name in shared
        }
        self._takes_signs = getattr(layer, "input_quantizer", None) is not None
        self._activation = activation
        quantizers = [*KERNEL_QUANTIZERS, "input_quantizer"]
        config = layer.get_config()
        config |= {name: None for name in quantizers if name in config}
        self._layer = from_config(layer, {**config, "name": f"{self.name}_layer"})
        if is_quantizer(getattr(layer, "activation", None)):
            self._layer.activation = activation

    @property
    def kernels(self) -> list[Any]:
        """The kernels that the layer has of the binary one."""
        names = KERNEL_QUANTIZERS.values()
        return [variable for name, variable in self._shared.items() if name in names]

    def build(self, input_shape: Any) -> None:
        layer = self._layer
        make = layer.add_weight

        def shared_or_new(name: str, *arguments: Any, **options: Any) -> Any:
            if name in self._shared:
                return self._shared[name]
            return make(name, *arguments, **options)

        layer.add_weight = shared_or_new
        try:
            layer.build(input_shape)
        finally:
            del layer.add_weight
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        if self._takes_signs:
            inputs = self._activation(inputs)
        if isinstance(self._layer, lq.layers_base.BaseLayer):
            # Past the scope in which Larq's layers read kernels quantized.
            return super(lq.layers_base.BaseLayer, self._layer).call(inputs)
        return self._layer.call(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self._layer.compute_output_shape(input_shape)
