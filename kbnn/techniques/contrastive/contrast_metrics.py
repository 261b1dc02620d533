"""What a contrastive term measures of each batch in training."""

from typing import NamedTuple

import tensorflow as tf

from kbnn.techniques.contrastive.bounds import info_nce_bound
from kbnn.techniques.contrastive.losses import info_nce_loss
from kbnn.techniques.contrastive.replicas import all_reduce_mean

NUMBER_OF_SUMS = 5
"""The length of what `batch_sums` returns, and of what `mean_metrics` takes."""


class ContrastMetrics(NamedTuple):
    """Means over the training batches since the last reset.

    Attributes:
        bound: InfoNCE's lower bound of the mutual information of the two views, in nats. The
            negatives are the batch with no class left out, whatever the term uses.
        distinct_codes: The share of samples in a batch whose signs no earlier sample has.
        loss: The term without its weight, over the batches that had something to compare with.
    """

    bound: float
    distinct_codes: float
    loss: float


def batch_sums(
    binary: tf.Tensor,
    real: tf.Tensor,
    *,
    temperature: float,
    distinct_codes: tf.Tensor,
    loss: tf.Tensor,
    is_scored: tf.Tensor,
) -> tf.Tensor:
    """Return what a batch adds to the sums that `mean_metrics` takes.

    Args:
        binary: Embeddings of the binary views in the joint batch, `(batch, size)`.
        real: Embeddings of the real-valued views.
        temperature: tau of the term.
        distinct_codes: The share of distinct codes in the batch.
        loss: The term without its weight.
        is_scored: Whether the batch had anything to compare with.
    """
    binary, real = tf.stop_gradient(binary), tf.stop_gradient(real)
    per_anchor = info_nce_loss(binary, real, temperature=temperature) / 2
    bound = info_nce_bound(per_anchor, tf.cast(tf.shape(binary)[0], tf.float32) - 1)
    scored = tf.cast(is_scored, tf.float32)
    return tf.stop_gradient(tf.stack([1.0, bound, distinct_codes, scored, scored * loss]))


def mean_metrics(sums: list[float]) -> ContrastMetrics:
    """Return the means of sums over batches."""
    batches, bound, distinct_codes, scored, loss = sums
    batches, scored = max(batches, 1.0), max(scored, 1.0)
    return ContrastMetrics(bound / batches, distinct_codes / batches, loss / scored)


def distinct_codes_share(views: tf.Tensor) -> tf.Tensor:
    """Return the share of samples whose signs no earlier sample of the replica's batch has."""
    views = tf.stop_gradient(tf.cast(views, tf.float32))
    count = tf.shape(views)[0]
    signs = tf.where(tf.reshape(views, (count, -1)) >= 0, 1.0, -1.0)
    # Sums of +-1 are exact in float32, up to 16 million of them.
    same = tf.matmul(signs, signs, transpose_b=True) == tf.cast(tf.shape(signs)[1], tf.float32)
    earlier = tf.linalg.band_part(tf.cast(same, tf.float32), -1, 0) - tf.eye(count)
    distinct = tf.reduce_sum(tf.cast(tf.reduce_max(earlier, axis=-1) <= 0, tf.float32))
    # Weighted by the batch sizes, so that a replica with an empty batch does not count.
    sums = all_reduce_mean(tf.stack([distinct, tf.cast(count, tf.float32)]))
    return tf.math.divide_no_nan(sums[0], sums[1])
