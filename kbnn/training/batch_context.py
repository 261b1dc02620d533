"""The labels and sample indices of the training batch, for layers in the model that need them."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf


class Batch(NamedTuple):
    """What a train step knows about its batch besides the inputs.

    Attributes:
        labels: the labels that `fit` received, or None.
        indices: positions of the samples in their data set, integers `(batch,)`, or None.
    """

    labels: Any = None
    indices: Any = None


NO_BATCH = Batch()
"""The current batch outside of a train step."""

# For each thread, because a distribution strategy runs the step of each replica in a thread.
_LOCAL = threading.local()


@contextlib.contextmanager
def batch_scope(labels: Any, indices: Any) -> Iterator[None]:
    """Make the labels and indices of a batch visible to the layers called inside the block."""
    before = current()
    _LOCAL.batch = Batch(labels, indices)
    try:
        yield
    finally:
        _LOCAL.batch = before


def current() -> Batch:
    """Return the batch of the current train step; `NO_BATCH` outside of one."""
    return getattr(_LOCAL, "batch", NO_BATCH)


def classes(labels: Any) -> tf.Tensor | None:
    """Return a number for each label, int64 `(batch,)`, equal where the labels are equal.

    Labels may be `(batch,)` or `(batch, n)`: classes, one-hot vectors, several classes, targets.
    For other labels (several outputs, images) the result is None, because they do not say which
    samples have the same class.
    """
    if labels is None or tf.nest.is_nested(labels):
        return None
    labels = tf.convert_to_tensor(labels)
    if labels.dtype == tf.string or labels.shape.rank not in (1, 2) or None in labels.shape[1:]:
        return None
    if labels.dtype.is_floating:
        # By their bits, because truncation would make the targets 0.3 and 0.7 one class.
        labels = tf.bitcast(tf.cast(labels, tf.float32) + 0.0, tf.int32)
    labels = tf.cast(labels, tf.int64)
    return labels if labels.shape.rank == 1 else _hash_rows(labels)


def _hash_rows(rows: tf.Tensor) -> tf.Tensor:
    """Return a number for each row of integers, a hash: different rows almost never share one."""
    if rows.shape[-1] == 1:
        return rows[:, 0]
    factors = np.random.default_rng(0).integers(2**63, size=rows.shape[-1], dtype=np.int64)
    return tf.reduce_sum(rows * factors, axis=-1)  # modulo 2 ** 64
