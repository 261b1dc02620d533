"""Embeddings of other samples, and whose negatives they are."""

from typing import NamedTuple

import tensorflow as tf

NO_CLASS = tf.int64.min
"""Stands for the class of a sample that none is known of."""


class NegativeEmbeddings(NamedTuple):
    """Embeddings of other samples.

    Attributes:
        binary: of their binary views, `(negatives, size)`.
        real: of their real-valued views, of the same shape.
        keep: booleans `(batch, negatives)`, whether one is a negative of a sample of the batch.
    """

    binary: tf.Tensor
    real: tf.Tensor
    keep: tf.Tensor


def has_other_class(labels: tf.Tensor | None, others: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
    """Where others are not known to share a sample's class.

    Args:
        labels: classes as numbers, int64 `(batch,)`, or None where they are not known.
        others: the same of others, `(negatives,)`, `NO_CLASS` where none is known.
        batch: the size of the batch.

    Returns:
        Booleans `(batch, negatives)`.
    """
    if labels is None:
        return tf.fill([batch, tf.shape(others)[0]], True)
    labels = tf.cast(labels, tf.int64)
    return (labels[:, None] != others[None, :]) | (others[None, :] == NO_CLASS)


def remembered_classes(labels: tf.Tensor | None, batch: tf.Tensor) -> tf.Tensor:
    """Classes as they are remembered, int64 `(batch,)`."""
    if labels is None:
        return tf.fill([batch], tf.constant(NO_CLASS, tf.int64))
    return tf.cast(labels, tf.int64)
