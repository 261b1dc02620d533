"""Moving statistics of batch normalization, measured anew with the network as it ships."""

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
    """Replace the moving statistics of all batch normalizations with those of the data.

    In training the moving averages follow a network whose signs may be soft and whose weights move;
    what ships has hard signs. Here each batch runs through the network as at inference (hard signs,
    no dropout), but batch normalizations normalize with the batch's own mean and variance, and
    their inputs' mean and variance over all the data take the place of the moving ones. Those with
    `trainable=False`, which Keras runs as at inference always, keep what they have.

    Args:
        model: a built functional or Sequential model; its statistics are changed in place, once
            all data have been seen.
        data: batches of images as a `tf.data.Dataset` or another iterable, elements `images`,
            `(images, labels)` or `(images, labels, ...)`; or an array of images, or arrays
            `(images, labels)`, taken in batches of 256. The images of several inputs are a tuple
            or a dict, with labels behind it: `((left, right), labels)`. Use training images, in
            batches as large as those of training.
        steps: number of batches after which to stop; by default the data end.

    Raises:
        TypeError: the model is subclassed or belongs to Keras 3.
        ValueError: the model is not built or has no batch normalization; no data, data that do not
            fit the model, or that lead to statistics that are not finite. The model then stays as
            it was.

    >>> import kbnn, numpy as np
    >>> model = kbnn.models.vgg_tiny(width=8)
    >>> kbnn.recalibrate_batch_norm(model, np.random.normal(size=(64, 28, 28, 1)).astype("f"))
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
            f"Received: model={model.name!r} with {len(layers_of(model))} layers, none of them one"
        )
    _run(copy, data, steps)
    statistics = [measure.statistics() for _, measure in measuring]
    for (layer, _), (mean, variance) in zip(measuring, statistics, strict=True):
        layer.moving_mean.assign(tf.reshape(mean, layer.moving_mean.shape))
        layer.moving_variance.assign(tf.reshape(variance, layer.moving_variance.shape))


class _Measure(keras.layers.Layer):
    """Batch normalization with the batch's statistics, which adds up those of all batches."""

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
        """Mean and variance over everything seen.

        Raises:
            ValueError: nothing was seen, or the statistics are not finite.
        """
        if not self._count.numpy():
            raise ValueError("Expected `data` to hold images. Received: no batch")
        mean, variance = self._mean.numpy(), (self._squares / self._count).numpy()
        if not np.isfinite([mean, variance]).all():
            raise ValueError(
                "Expected finite activations. "
                f"Received: statistics at {self.name!r} that are not finite"
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
