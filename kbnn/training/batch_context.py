"""The labels and sample indices of the batch in training, for layers that want to see them."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
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

    Labels as `(batch,)` or `(batch, n)`: classes, one-hot or not, several of them, targets. None
    for others (several outputs, pictures), which say of no two samples that they are of one class.
    """
    if labels is None or tf.nest.is_nested(labels):
        return None
    labels = tf.convert_to_tensor(labels)
    if labels.dtype == tf.string or labels.shape.rank not in (1, 2) or None in labels.shape[1:]:
        return None
    if labels.dtype.is_floating:
        # Not truncated: the targets 0.3 and 0.7 are no class.
        labels = tf.bitcast(tf.cast(labels, tf.float32) + 0.0, tf.int32)
    labels = tf.cast(labels, tf.int64)
    return labels if labels.shape.rank == 1 else _numbered(labels)


def _numbered(rows: tf.Tensor) -> tf.Tensor:
    """Rows of integers as numbers that differ, as good as always, where the rows do."""
    if rows.shape[-1] == 1:
        return rows[:, 0]
    factors = np.random.default_rng(0).integers(2**63, size=rows.shape[-1], dtype=np.int64)
    return tf.reduce_sum(rows * factors, axis=-1)  # modulo 2 ** 64
