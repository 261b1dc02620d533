"""Measures the moving statistics of batch normalization anew, with the network that ships."""

import itertools
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn.graph.clone import clone
from kbnn.graph.layers import layers_of
from kbnn.graph.rewrite import Replacement, rewrite

_BATCH = 256
_BATCH_NORMALIZATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.experimental.SyncBatchNormalization,
)


def recalibrate_batch_norm(model: keras.Model, data: Any, *, steps: int | None = None) -> None:
    """Replace the moving statistics of all batch normalizations by the statistics of the data.

    During training the moving averages follow a network whose signs may be soft and whose weights
    change; the network that ships has hard signs and fixed weights. This function runs each batch
    as at inference (hard signs, no dropout), but each batch normalization uses the batch's own mean
    and variance. The mean and variance over all the data then replace the moving statistics. A
    layer with `trainable=False`, which Keras always runs as at inference, keeps its statistics.

    Args:
        model: a built functional or Sequential model. Its statistics change in place, after all
            data have been seen.
        data: training images, in batches as large as in training: a `tf.data.Dataset` or another
            iterable of `images`, `(images, labels)` or `(images, labels, ...)`; or an array of
            images, or arrays `(images, labels)`, which are taken in batches of 256. For a model
            with several inputs, `images` is a tuple or a dict, and labels must follow:
            `((left, right), labels)`.
        steps: number of batches to use; None uses all data.

    Raises:
        TypeError: the model is subclassed or belongs to Keras 3.
        ValueError: the model is not built or has no batch normalization; there are no data, or data
            that do not fit the model or give statistics that are not finite. The model then does
            not change.

    Example:
        >>> import kbnn, numpy as np
        >>> model = kbnn.models.vgg_tiny(width=8)
        >>> images = np.random.normal(size=(64, 28, 28, 1)).astype("float32")
        >>> kbnn.recalibrate_batch_norm(model, images)
    """
    measuring: list[tuple[keras.layers.Layer, _Measure]] = []

    def replace(layer: keras.layers.Layer) -> Replacement | None:
        if not isinstance(layer, _BATCH_NORMALIZATIONS) or not layer.trainable:
            return None
        measure = _Measure(layer, name=layer.name, dtype="float32")
        measuring.append((layer, measure))
        sign = getattr(layer, "activation", None)
        return Replacement(measure, then=clone(sign, f"{layer.name}_activation"))

    copy = rewrite(model, replace)
    if not measuring:
        raise ValueError(
            "Expected a model with BatchNormalization layers. "
            f"Received: model={model.name!r}, none of whose {len(layers_of(model))} layers is one"
        )
    _run(copy, data, steps)
    statistics = [measure.statistics() for _, measure in measuring]
    for (layer, _), (mean, variance) in zip(measuring, statistics, strict=True):
        layer.moving_mean.assign(tf.reshape(mean, layer.moving_mean.shape))
        layer.moving_variance.assign(tf.reshape(variance, layer.moving_variance.shape))


class _Measure(keras.layers.Layer):
    """Batch normalization by the statistics of the batch, which also sums up all batches."""

    def __init__(self, replaced: keras.layers.Layer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._axis = list(replaced.axis)
        self._epsilon = replaced.epsilon
        self._affine = [
            name for name in ("gamma", "beta") if getattr(replaced, name, None) is not None
        ]

    def build(self, input_shape: Any) -> None:
        shape = [size if i in self._axis else 1 for i, size in enumerate(input_shape)]
        for name in self._affine:
            setattr(self, name, self.add_weight(name, [shape[i] for i in self._axis]))
        sums = {"dtype": "float64", "initializer": "zeros", "trainable": False}
        self._count = self.add_weight("count", (), **sums)
        self._mean = self.add_weight("mean", shape, **sums)
        self._squares = self.add_weight("squares", shape, **sums)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        axes = [i for i in range(inputs.shape.rank) if i not in self._axis]
        mean, variance = tf.nn.moments(inputs, axes, keepdims=True)
        self._add(tf.size(inputs) // tf.size(mean), mean, variance)
        scale, offset = (
            tf.reshape(getattr(self, name), mean.shape) if name in self._affine else None
            for name in ("gamma", "beta")
        )
        return tf.nn.batch_normalization(inputs, mean, variance, offset, scale, self._epsilon)

    def _add(self, size: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor) -> None:
        """Merge the statistics of two samples (Chan, Golub, LeVeque: Updating formulae, 1979)."""
        size, mean, variance = (tf.cast(value, tf.float64) for value in (size, mean, variance))
        count = self._count + size
        difference = mean - self._mean
        self._squares.assign_add(size * variance + difference**2 * self._count * size / count)
        self._mean.assign_add(difference * size / count)
        self._count.assign(count)

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance over all batches.

        Raises:
            ValueError: there was no batch, or the statistics are not finite.
        """
        if not self._count.numpy():
            raise ValueError("Expected `data` to hold images. Received: no batch")
        mean, variance = self._mean.numpy(), (self._squares / self._count).numpy()
        if not np.isfinite([mean, variance]).all():
            raise ValueError(
                "Expected finite activations. "
                f"Received: NaN or infinity in the statistics of layer {self.name!r}"
            )
        return mean.astype("float32"), variance.astype("float32")


def _run(model: keras.Model, data: Any, steps: int | None) -> None:
    run = tf.function(lambda x: model(x, training=False), reduce_retracing=True)
    if isinstance(data, np.ndarray | tf.Tensor | tuple):
        images = data[0] if isinstance(data, tuple) else data
        data = tf.data.Dataset.from_tensor_slices(images).batch(_BATCH)
    for element in itertools.islice(data, steps):
        images = element[0] if isinstance(element, tuple) else element
        tensors = tf.nest.map_structure(tf.convert_to_tensor, images)
        _check_fits(model, tensors)
        run(tensors)


def _check_fits(model: keras.Model, images: Any) -> None:
    expected = [tuple(tensor.shape) for tensor in model.inputs]
    received = [tuple(tensor.shape) for tensor in tf.nest.flatten(images)]
    if len(expected) != len(received) or not all(
        tf.TensorShape(a).is_compatible_with(b) for a, b in zip(expected, received, strict=True)
    ):
        raise ValueError(
            f"Expected `data` to be batches that fit the model's inputs, {expected}. "
            f"Received: a batch of {received}"
        )
