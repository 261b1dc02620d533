"""How a contrastive term scores a batch against each source of negatives."""

from typing import NamedTuple

import tensorflow as tf

from kbnn.techniques.contrastive.embedding_queue import EmbeddingQueueLayer
from kbnn.techniques.contrastive.losses import info_nce_loss, log_mean_exp, nce_loss
from kbnn.techniques.contrastive.memory_bank import MemoryBankLayer


class EmbeddedBatch(NamedTuple):
    """The joint batch of all replicas, embedded.

    Attributes:
        binary: Embeddings of the binary views, `(batch, size)`: the binary anchors.
        real: Embeddings of the real-valued views.
        binary_keys: Embeddings of the binary views by a momentum head, or None.
        real_keys: Embeddings of the real-valued views by a momentum head, or None.
        classes: The classes of the samples, int64 `(batch,)`, or None.
        indices: The indices of the samples, int64 `(batch,)`, or None.
    """

    binary: tf.Tensor
    real: tf.Tensor
    binary_keys: tf.Tensor | None
    real_keys: tf.Tensor | None
    classes: tf.Tensor | None
    indices: tf.Tensor | None


def score_with_batch(batch: EmbeddedBatch, temperature: float) -> tf.Tensor:
    """Return the loss of each sample, with the rest of the batch as negatives."""
    return info_nce_loss(batch.binary, batch.real, batch.classes, temperature=temperature)


def score_with_queue(
    batch: EmbeddedBatch, temperature: float, queue: EmbeddingQueueLayer
) -> tf.Tensor:
    """Return the loss of each sample. Then the queue takes the batch's keys."""
    others = queue.negatives(tf.shape(batch.binary)[0], batch.classes)
    losses = info_nce_loss(
        *(batch.binary, batch.real),
        binary_negatives=others.binary,
        real_negatives=others.real,
        binary_positives=batch.binary_keys,
        real_positives=batch.real_keys,
        keep=others.keep,
        temperature=temperature,
    )
    queue.write(batch.binary_keys, batch.real_keys, batch.classes)
    return losses


def score_with_bank(
    batch: EmbeddedBatch, temperature: float, bank: MemoryBankLayer, log_scale: tf.Variable
) -> tf.Tensor:
    """Return the loss of each sample. Then the bank takes the batch.

    Args:
        batch: The batch.
        temperature: tau.
        bank: The bank, whose rows are both the positives and the negatives.
        log_scale: log c for both anchors. The first batch sets it.
    """
    binary, real = batch.binary, batch.real
    binary_positives, real_positives = bank.positives(batch.indices)
    is_first = tf.equal(bank.draws, 0)
    others = bank.negatives(batch.indices, batch.classes)
    pairs = ((binary, real_positives, others.real), (real, binary_positives, others.binary))
    of_this_batch = [
        log_mean_exp(
            tf.reduce_sum(anchor * positive, axis=-1) / temperature,
            tf.matmul(anchor, negatives, transpose_b=True) / temperature,
            others.keep,
        )
        for anchor, positive, negatives in pairs
    ]
    log_scale.assign(tf.where(is_first, tf.stack(of_this_batch), log_scale))
    losses = nce_loss(
        *(binary, real, others.binary, others.real),
        binary_positives=binary_positives,
        real_positives=real_positives,
        keep=others.keep,
        temperature=temperature,
        log_scale=log_scale,
    )
    bank.write(batch.indices, binary, real, batch.classes)
    return losses
