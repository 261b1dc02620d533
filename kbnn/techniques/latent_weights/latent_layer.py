"""Layers that compute with the latent weights of a binary network."""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn.graph.larq_quantizers import KERNEL_QUANTIZERS, is_quantizer
from kbnn.graph.layers import from_config, weights_by_name

Activation = Callable[[Any], tf.Tensor]


def hard_tanh(x: Any) -> tf.Tensor:
    """Clip x to -1 to 1: the function whose gradient `ste_sign` has."""
    return tf.clip_by_value(x, -1.0, 1.0)


def get_activation(activation: Any) -> Activation:
    """Return the function for "hard_tanh" or for an activation of Keras."""
    if activation == "hard_tanh":
        return hard_tanh
    return keras.activations.get(activation)


def rescale_to_mean_abs(kernel: tf.Tensor, size: Any = None) -> tf.Tensor:
    r"""Rescale a kernel to a mean absolute value, with a gradient as large as a sign's.

    $$s\, W / m \quad \text{with the gradient of} \quad s\, W, \qquad m = \mathrm{mean} |W|$$

    A normalization usually follows a convolution, and then the gradient of W is proportional to
    1 / m. Latent weights are small, so without this factor their gradient would be far larger than
    the gradient of signs.

    Args:
        kernel: W.
        size: s, a number or a scalar. None means m, which keeps the values of the kernel.
    """
    mean = tf.maximum(tf.reduce_mean(tf.abs(tf.cast(kernel, tf.float32))), 1e-8)
    target = mean if size is None else tf.cast(size, tf.float32)
    constant = tf.stop_gradient(kernel)
    # In float32, since the quotient may be out of the range of float16.
    value = tf.cast(tf.cast(constant, tf.float32) * tf.stop_gradient(target / mean), kernel.dtype)
    return value + tf.cast(tf.stop_gradient(target), kernel.dtype) * (kernel - constant)


class LatentLayer(keras.layers.Layer):
    """Computes what a layer computes without its quantizers, with the weights of the layer.

    The kernels are not quantized, and an activation replaces the input quantizer.

    Args:
        layer: A built layer of Larq, or one with a kernel quantizer.
        shared: Names of the weights to share with the layer. The other weights are new.
        activation: The function in place of quantizers.
        transforms: For the name of a shared weight, a function of the weight that the computation
            uses in its place.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        shared: Collection[str],
        activation: Activation,
        transforms: Mapping[str, Callable[[tf.Tensor], tf.Tensor]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(dtype=layer.dtype_policy, **options)
        self._shared = {
            name: found for name, found in weights_by_name(layer).items() if name in shared
        }
        self._quantizes_inputs = getattr(layer, "input_quantizer", None) is not None
        self._activation = activation
        self._transforms = dict(transforms or {})
        quantizers = [*KERNEL_QUANTIZERS, "input_quantizer"]
        # New weights are trained, whether the layer is or not.
        config = {**layer.get_config(), "trainable": True}
        config |= {name: None for name in quantizers if name in config}
        self._layer = from_config(layer, {**config, "name": f"{self.name}_layer"})
        if is_quantizer(getattr(layer, "activation", None)):
            self._layer.activation = activation

    def build(self, input_shape: Any) -> None:
        layer = self._layer
        add_weight = layer.add_weight

        def get_or_add_weight(name: Any = None, *arguments: Any, **options: Any) -> Any:
            if name in self._shared:
                return self._shared[name]
            return add_weight(name, *arguments, **options)

        layer.add_weight = get_or_add_weight
        try:
            layer.build(input_shape)
        finally:
            del layer.add_weight
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        if self._quantizes_inputs:
            inputs = self._activation(inputs)
        with self._transform_weights():
            return self._layer.call(inputs)

    @contextlib.contextmanager
    def _transform_weights(self) -> Iterator[None]:
        """Replace the shared weights by tensors, without Keras's tracking of attributes.

        A kernel is read here, outside of the scope in which Larq's layers read it quantized.
        """
        attributes = vars(self._layer)
        kept = {name: attributes[name] for name in self._shared if name in attributes}
        for name, variable in kept.items():
            value = tf.convert_to_tensor(variable)
            attributes[name] = self._transforms.get(name, tf.identity)(value)
        try:
            yield
        finally:
            attributes.update(kept)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self._layer.compute_output_shape(input_shape)
