"""The training step and the evaluation step of a run, as functions that XLA can compile.

The loop that runs them feeds float images, normalized by the mean and standard deviation of the
data. The model takes bytes, so the steps first undo the normalization exactly.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

LEARNING_RATE = "learning_rate"

Step = Callable[[tf.Tensor, tf.Tensor], Any]


@dataclasses.dataclass(frozen=True)
class Normalization:
    """The normalization of images by channel, `(bytes / 255 - mean) / std`.

    Attributes:
        mean: float32 `(channels,)`.
        std: float32 `(channels,)`.
    """

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def from_images(cls, images: np.ndarray) -> "Normalization":
        """Return the normalization of uint8 images `(count, height, width, channels)`."""
        mean, std = images.mean((0, 1, 2)) / 255.0, images.std((0, 1, 2)) / 255.0
        return cls(mean.astype(np.float32), std.astype(np.float32))

    def undo(self, images: tf.Tensor) -> tf.Tensor:
        """Return the bytes of normalized images."""
        return tf.cast(tf.round((images * self.std + self.mean) * 255.0), tf.uint8)


def train_step(model: keras.Model, normalization: Normalization) -> Step:
    """Return the training step of a compiled model, which returns the loss with added losses."""
    # Variables cannot be created inside the step.
    model.optimizer.build(model.trainable_variables)

    def step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        # Keras reports means since the last reset, so this is the loss of one step.
        model.reset_metrics()
        return model.train_step((normalization.undo(images), labels))["loss"]

    return tf.function(step, jit_compile=True)


def eval_step(model: keras.Model, normalization: Normalization) -> Step:
    """Return a step that returns `(loss, number of correct classes)` of a model with logits."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def step(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = model(normalization.undo(images), training=False)
        correct = tf.argmax(logits, -1, labels.dtype) == labels
        return loss(labels, logits), tf.reduce_sum(tf.cast(correct, tf.int32))

    return tf.function(step, jit_compile=True)


def model_variables(model: keras.Model) -> dict[str, tf.Variable]:
    """Return the model's variables, by names that are the same in every copy of the model."""
    return _numbered("model", model.weights)


def variables(model: keras.Model) -> dict[str, tf.Variable]:
    """Return all variables that the steps use; the learning rate is called `LEARNING_RATE`."""
    metrics = [variable for metric in model.metrics for variable in metric.variables]
    return {
        # The public attribute is the value of the learning rate, not its variable.
        LEARNING_RATE: model.optimizer._learning_rate,
        **model_variables(model),
        **_numbered("optimizer", model.optimizer.variables),
        **_numbered("metric", metrics),
    }


def _numbered(kind: str, found: list[tf.Variable]) -> dict[str, tf.Variable]:
    # Two variables may have the same name in Keras.
    return {
        f"{kind}/{i}/{variable.name.split(':')[0]}": variable for i, variable in enumerate(found)
    }
