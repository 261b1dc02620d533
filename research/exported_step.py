"""The training and the evaluation step of a run, as functions of tensors that XLA can compile.

Whoever runs them feeds float images, normalized with mean and standard deviation of the data. A
run's model takes bytes, so the steps undo the normalization first, exactly.
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
    """How images are normalized: `(bytes / 255 - mean) / std`, by channel.

    Attributes:
        mean: float32 `(channels,)`.
        std: float32 `(channels,)`.
    """

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, images: np.ndarray) -> "Normalization":
        """That of uint8 images `(count, height, width, channels)`."""
        mean, std = images.mean((0, 1, 2)) / 255.0, images.std((0, 1, 2)) / 255.0
        return cls(mean.astype(np.float32), std.astype(np.float32))

    def undone(self, images: tf.Tensor) -> tf.Tensor:
        """The bytes of normalized images."""
        return tf.cast(tf.round((images * self.std + self.mean) * 255.0), tf.uint8)


def train_step(model: keras.Model, normalization: Normalization) -> Step:
    """The compiled model's own training step; returns the loss, added losses included."""
    # A variable cannot be made inside the step.
    model.optimizer.build(model.trainable_variables)

    def step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        # Keras reports means since the last reset: here, those of this step.
        model.reset_metrics()
        return model.train_step((normalization.undone(images), labels))["loss"]

    return tf.function(step, jit_compile=True)


def eval_step(model: keras.Model, normalization: Normalization) -> Step:
    """Returns `(loss, number correct)` of a model that gives logits, as it ships."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def step(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = model(normalization.undone(images), training=False)
        correct = tf.argmax(logits, -1, labels.dtype) == labels
        return loss(labels, logits), tf.reduce_sum(tf.cast(correct, tf.int32))

    return tf.function(step, jit_compile=True)


def model_variables(model: keras.Model) -> dict[str, tf.Variable]:
    """The model's variables, by names that another copy of the model has too."""
    return _numbered("model", model.weights)


def variables(model: keras.Model) -> dict[str, tf.Variable]:
    """Everything that the steps read and write; the learning rate is `LEARNING_RATE`."""
    metrics = [variable for metric in model.metrics for variable in metric.variables]
    return {
        # Of the learning rate Keras's public attribute gives the value alone.
        LEARNING_RATE: model.optimizer._learning_rate,
        **model_variables(model),
        **_numbered("optimizer", model.optimizer.variables),
        **_numbered("metric", metrics),
    }


def _numbered(kind: str, found: list[tf.Variable]) -> dict[str, tf.Variable]:
    # Keras's names alone may occur twice.
    return {
        f"{kind}/{i}/{variable.name.split(':')[0]}": variable for i, variable in enumerate(found)
    }
