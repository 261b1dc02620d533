"""The loss of a run."""

from typing import Any

import tensorflow as tf
import tf_keras as keras


class SmoothedCrossentropy(keras.losses.SparseCategoricalCrossentropy):
    r"""Crossentropy between class indices and logits, with label smoothing.

    $$(1 - s)\, H(y, p) + s\, \frac{1}{C} \sum_{c=1}^{C} H(c, p)$$

    for C classes, as `keras.losses.CategoricalCrossentropy` computes it from one-hot labels.

    Args:
        smoothing: s, from 0 to 1.

    Source: "Rethinking the Inception Architecture for Computer Vision" (Szegedy et al., 2016).
    """

    def __init__(self, smoothing: float) -> None:
        super().__init__(from_logits=True)
        self._smoothing = smoothing

    def call(self, y_true: Any, y_pred: Any) -> tf.Tensor:
        of_labels = super().call(y_true, y_pred)
        of_classes = -tf.reduce_mean(tf.nn.log_softmax(y_pred), axis=-1)
        return (1 - self._smoothing) * of_labels + self._smoothing * of_classes
