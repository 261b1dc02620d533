"""Layers that compute with the latent weights of a binary network."""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn.graph.larq_quantizers import KERNEL_QUANTIZERS, is_quantizer
from kbnn.graph.layers import from_config, weights_by_name


def hard_tanh(x: Any) -> tf.Tensor:
    """What the gradient of `ste_sign` is that of: clip x to -1 to 1."""
    return tf.clip_by_value(x, -1.0, 1.0)


def activation_of(activation: Any) -> Callable[[Any], tf.Tensor]:
    """The function of a name: "hard_tanh", or one of Keras's."""
    if activation == "hard_tanh":
        return hard_tanh
    return keras.activations.get(activation)


def rescale_to_mean_abs(kernel: tf.Tensor, size: Any = None) -> tf.Tensor:
    r"""A kernel brought to a mean absolute value, with a gradient of the size that a sign's has.

    $$s\, W / m \quad \text{with the gradient of} \quad s\, W, \qquad m = \mathrm{mean} |W|$$

    What stands behind a convolution is mostly a normalization, under which the gradient of W goes
    as 1 / m: that of small latent weights would be greater by far than that of signs.

    Args:
        kernel: W.
        size: s, a number or a scalar; None for m, which leaves the kernel's values as they are.
    """
    mean = tf.maximum(tf.reduce_mean(tf.abs(tf.cast(kernel, tf.float32))), 1e-8)
    target = mean if size is None else tf.cast(size, tf.float32)
    before = tf.stop_gradient(kernel)
    # In float32, since the quotient may be out of the range of float16.
    value = tf.cast(tf.cast(before, tf.float32) * tf.stop_gradient(target / mean), kernel.dtype)
    return value + tf.cast(tf.stop_gradient(target), kernel.dtype) * (kernel - before)


class LatentLayer(keras.layers.Layer):
    """What a layer computes without its quantizers, with weights that are the layer's.

    A binary layer's kernels are used as they are, not as they are quantized; an activation stands
    where its input quantizer does.

    Args:
        layer: a built layer, of Larq's or with a kernel of its own.
        shared: the names of the weights that are the layer's; the others are new.
        activation: in place of quantizers.
        read: by the name of a shared weight, what is computed with in its place, as a function of
            the weight.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        shared: Collection[str],
        activation: Callable[[Any], tf.Tensor],
        read: Mapping[str, Callable[[tf.Tensor], tf.Tensor]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(dtype=layer.dtype_policy, **options)
        self._shared = {
            name: found for name, found in weights_by_name(layer).items() if name in shared
        }
        self._takes_signs = getattr(layer, "input_quantizer", None) is not None
        self._activation = activation
        self._read = dict(read or {})
        quantizers = [*KERNEL_QUANTIZERS, "input_quantizer"]
        # What is new is trained, whether the layer is or not.
        config = {**layer.get_config(), "trainable": True}
        config |= {name: None for name in quantizers if name in config}
        self._layer = from_config(layer, {**config, "name": f"{self.name}_layer"})
        if is_quantizer(getattr(layer, "activation", None)):
            self._layer.activation = activation

    def build(self, input_shape: Any) -> None:
        layer = self._layer
        make = layer.add_weight

        def shared_or_new(name: Any = None, *arguments: Any, **options: Any) -> Any:
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
        with self._weights_as_read():
            return self._layer.call(inputs)

    @contextlib.contextmanager
    def _weights_as_read(self) -> Iterator[None]:
        """Tensors in place of the shared weights, past Keras, which keeps account of attributes.

        A kernel is read here, outside of the scope in which Larq's layers read it quantized.
        """
        attributes = vars(self._layer)
        kept = {name: attributes[name] for name in self._shared if name in attributes}
        for name, variable in kept.items():
            value = tf.convert_to_tensor(variable)
            attributes[name] = self._read.get(name, tf.identity)(value)
        try:
            yield
        finally:
            attributes.update(kept)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self._layer.compute_output_shape(input_shape)
