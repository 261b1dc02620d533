"""The labels and sample indices of the batch in training, for layers that want to see them."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import tensorflow as tf


class Batch(NamedTuple):
    """What a train step knows of its batch beside the inputs.

    Attributes:
        labels: as `fit` has them; None without.
        indices: of the samples, in their data set, integers `(batch,)`; None without.
    """

    labels: Any = None
    indices: Any = None


NOTHING = Batch()
"""What is current outside of a train step that hands its batch over."""

# Of each thread: under a strategy each replica's step runs in one of its own.
_LOCAL = threading.local()


@contextlib.contextmanager
def hand_over(labels: Any, indices: Any) -> Iterator[None]:
    """Let layers that are called inside see the labels and indices of their batch."""
    before = current()
    _LOCAL.batch = Batch(labels, indices)
    try:
        yield
    finally:
        _LOCAL.batch = before


def current() -> Batch:
    """The batch that is handed over; `NOTHING` outside of such a step."""
    return getattr(_LOCAL, "batch", NOTHING)


def classes(labels: Any) -> tf.Tensor | None:
    """Labels as numbers, int64 `(batch,)`, that are equal where the labels are.

    Classes as `(batch,)` or `(batch, 1)`, or one-hot `(batch, classes)`. None for other labels
    (several outputs, pictures), which say of no two samples that they are of one class.
    """
    if labels is None or tf.nest.is_nested(labels):
        return None
    labels = tf.convert_to_tensor(labels)
    if labels.shape.rank == 2 and labels.shape[-1] is not None:
        labels = labels[:, 0] if labels.shape[-1] == 1 else tf.argmax(labels, axis=-1)
    if labels.shape.rank != 1 or labels.dtype == tf.string:
        return None
    if labels.dtype.is_floating:
        # Not truncated: the targets 0.3 and 0.7 are no class.
        labels = tf.bitcast(tf.cast(labels, tf.float32) + 0.0, tf.int32)
    return tf.cast(labels, tf.int64)
