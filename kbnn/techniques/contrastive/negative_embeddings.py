"""Embeddings of other samples, and the anchors that they are negatives of."""

from typing import NamedTuple

import tensorflow as tf

NO_CLASS = tf.int64.min
"""The stored class of a sample whose class is not known."""


class NegativeEmbeddings(NamedTuple):
    """Embeddings of other samples.

    Attributes:
        binary: Embeddings of their binary views, `(negatives, size)`.
        real: Embeddings of their real-valued views, in the same shape.
        keep: Booleans `(batch, negatives)`: whether one is a negative of a sample of the batch.
    """

    binary: tf.Tensor
    real: tf.Tensor
    keep: tf.Tensor


def has_other_class(labels: tf.Tensor | None, others: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
    """Return whether other samples have another class than a sample, as far as is known.

    Args:
        labels: The classes of the batch, int64 `(batch,)`, or None.
        others: The classes of the other samples, `(negatives,)`, `NO_CLASS` where not known.
        batch: The size of the batch.

    Returns:
        Booleans `(batch, negatives)`, True where a class is not known.
    """
    if labels is None:
        return tf.fill([batch, tf.shape(others)[0]], True)
    labels = tf.cast(labels, tf.int64)
    return (labels[:, None] != others[None, :]) | (others[None, :] == NO_CLASS)


def classes_to_store(labels: tf.Tensor | None, batch: tf.Tensor) -> tf.Tensor:
    """Return classes as a memory stores them, int64 `(batch,)`."""
    if labels is None:
        return tf.fill([batch], tf.constant(NO_CLASS, tf.int64))
    return tf.cast(labels, tf.int64)
