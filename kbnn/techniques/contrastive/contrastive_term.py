"""The contrastive term between two views of a batch: embeddings, negatives, loss and measures."""

import math
from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras as keras

from kbnn import _checks
from kbnn.techniques.contrastive.embedding_head import POOLINGS, EmbeddingHead
from kbnn.techniques.contrastive.embedding_queue import EmbeddingQueueLayer
from kbnn.techniques.contrastive.losses import (
    check_temperature,
    info_nce_bound,
    info_nce_loss,
    log_mean_exp,
    nce_loss,
)
from kbnn.techniques.contrastive.memory_bank import MemoryBankLayer, checked_indices
from kbnn.techniques.contrastive.negatives import (
    EmbeddingQueue,
    MemoryBank,
    Negatives,
    load_negatives,
    negatives_config,
    resolve_negatives,
)
from kbnn.techniques.contrastive.replicas import all_gather_batch, mean_of_replicas, of_all_replicas
from kbnn.training import batch_context

DEFAULT_WEIGHT = 0.1
_NO_INDICES = (
    "Expected the indices of the samples, which a memory bank needs in training. Received: none. "
    "Call kbnn.trainers.Trainer(model, with_index=True).fit(data) with data (x, y, index), as "
    "kbnn.data.load(..., with_index=True) returns it."
)
# What the variable `sums` holds, in its order.
_SUMS = ("batches", "bound", "distinct_codes", "scored_batches", "loss")


class ContrastMetrics(NamedTuple):
    """Means over the batches in training since they were begun anew.

    Attributes:
        bound: of the mutual information of the two views, in nats: InfoNCE's, from the batch and
            without leaving out any class, whatever the source of negatives.
        distinct_codes: share of samples in a batch whose signs are those of no sample before them.
        loss: the term, without its weight; without batches that had nothing to compare with.
    """

    bound: float
    distinct_codes: float
    loss: float


@keras.utils.register_keras_serializable(package="kbnn")
class ContrastiveTerm(keras.layers.Layer):
    r"""Adds to the loss, in training, that two views of a sample find each other among others.

    Each view has an `EmbeddingHead`; the loss is the mean over the batch of a contrastive loss of
    the embeddings, times the weight. Outside of training it adds nothing. Always in float32.

    Args:
        negatives: The samples that a sample is compared with. `kbnn.techniques.SameBatch()` (alias
            "batch"): the rest of the batch. `kbnn.techniques.EmbeddingQueue(count=...)` (alias
            "queue"): the batches before. `kbnn.techniques.MemoryBank(rows=...)`: all training
            samples, which needs the samples' indices, from a
            `kbnn.trainers.Trainer(model, with_index=True)`.
        weight: lambda. With 0 the network trains exactly as without the term, and the metrics are
            still computed.
        temperature: tau, at least 0.001.
        embedding: The size of the embeddings.
        pooling: How the heads treat positions: "average" or "flatten".

    Where labels are known, samples of one class are no negatives of each other: under a
    `kbnn.trainers.Trainer`. Under plain `fit` they are.

    Under a distribution strategy the batch is that of all replicas. A layer that is used twice in a
    model has its term twice.

    Input: two views, `[(batch, ..., channels), (batch, ..., channels)]`, the binary one first.
    Output: what has been added to the loss, a scalar.

    Raises:
        ValueError: an argument out of range or without effect; in training, "bank" without indices.

    >>> import kbnn, numpy as np
    >>> contrast = kbnn.layers.ContrastiveTerm(weight=1.0)
    >>> views = [np.sign(np.random.normal(size=(8, 4, 4, 32))).astype("f") for _ in range(2)]
    >>> float(contrast(views, training=True)) > 0, float(contrast(views))
    (True, 0.0)

    Source: CMIM (docs/contrastive.md) for the loss with a bank, its size and momentum; the code has
    a weight of 3.2 and a temperature of 0.1. "batch" and "queue", the defaults of weight and
    temperature, and that the heads are trained, are kbnn's.
    """

    def __init__(
        self,
        negatives: Negatives | str = "batch",
        weight: float = DEFAULT_WEIGHT,
        temperature: float = 0.3,
        embedding: int = 128,
        pooling: str = "average",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        check_temperature(temperature)
        self.negatives = resolve_negatives(negatives)
        self.weight = _checks.number("weight", weight, least=0)
        self.temperature = float(temperature)
        self.embedding = _checks.positive_int("embedding", embedding)
        self.pooling = _checks.one_of("pooling", pooling, POOLINGS)
        self.binary_head = EmbeddingHead(self.embedding, self.pooling, name="binary_head")
        self.real_head = EmbeddingHead(self.embedding, self.pooling, name="real_head")
        self.memory: EmbeddingQueueLayer | MemoryBankLayer | None = None
        if isinstance(self.negatives, EmbeddingQueue):
            self.memory = EmbeddingQueueLayer(self.negatives, self.embedding, name="queue")
        elif isinstance(self.negatives, MemoryBank):
            self.memory = MemoryBankLayer(self.negatives, self.embedding, name="bank")

    def build(self, input_shape: Any) -> None:
        binary, real = input_shape
        parts = [(self.binary_head, binary), (self.real_head, real)]
        for part, shape in [*parts, *([] if self.memory is None else [(self.memory, None)])]:
            with tf.name_scope(part.name):
                part.build(shape)
        kept = {"trainable": False, "initializer": "zeros", "experimental_autocast": False}
        self.sums = self.add_weight("sums", (len(_SUMS),), **kept)
        if isinstance(self.memory, MemoryBankLayer):
            self.log_scale = self.add_weight("log_scale", (2,), **kept)
        super().build(input_shape)

    def call(self, inputs: Any, training: Any = None) -> tf.Tensor:
        if training is None or isinstance(training, bool | int):
            loss = self._of_batch(inputs) if training else tf.zeros([])
        else:
            is_training = tf.cast(training, tf.bool)
            loss = tf.cond(is_training, lambda: self._of_batch(inputs), lambda: tf.zeros([]))
        # On every call, or Keras takes the loss of a graph that is gone.
        self.add_loss(loss)
        return loss

    def term(self, binary: Any, real: Any, labels: Any = None, indices: Any = None) -> tf.Tensor:
        """The term of a batch in training, without its weight; moves memory and measures on.

        Args:
            binary: the binary views, `(batch, ..., channels)`.
            real: the real-valued ones.
            labels: as `fit` has them, or None.
            indices: of the samples, integers `(batch,)`; None without.

        Returns:
            A scalar, the mean over the batch of all replicas.

        Raises:
            ValueError: a "bank" without indices.
        """
        if not self.built:
            with tf.name_scope(self.name):
                self.build([tf.convert_to_tensor(view).shape for view in (binary, real)])
        if isinstance(self.memory, MemoryBankLayer) and indices is None:
            raise ValueError(_NO_INDICES)
        share = _distinct_share(binary)
        if not isinstance(self.memory, MemoryBankLayer):
            indices = None
        else:
            indices = checked_indices(indices, tf.convert_to_tensor(binary).shape[0])
        embedded = all_gather_batch(
            self.binary_head(binary), self.real_head(real), batch_context.classes(labels), indices
        )
        loss, scored = self._scored(*embedded)
        self._measure(*embedded[:2], share=share, loss=loss, scored=scored)
        return of_all_replicas(loss)

    def means(self) -> ContrastMetrics:
        """The measures since `reset_metrics`."""
        values = keras.backend.get_value(self.sums)
        batches, bound, distinct, scored, loss = (float(value) for value in values)
        batches, scored = max(batches, 1.0), max(scored, 1.0)
        return ContrastMetrics(bound / batches, distinct / batches, loss / scored)

    def reset_metrics(self) -> None:
        """Begin the measures anew."""
        self.sums.assign(tf.zeros_like(self.sums))

    def _of_batch(self, views: Any) -> tf.Tensor:
        binary, real = views
        batch = batch_context.current()
        labels, indices = batch
        needs_indices = isinstance(self.memory, MemoryBankLayer)
        if needs_indices and batch is batch_context.NOTHING and tf.inside_function():
            # A SavedModel has a trace of training, which may be made, and not run.
            with tf.control_dependencies([tf.debugging.Assert(False, [_NO_INDICES])]):
                return tf.constant(math.nan)  # for XLA, which asserts nothing
        if self.weight == 0:
            # The network's own gradients stay what they are to the bit.
            binary, real = tf.stop_gradient(binary), tf.stop_gradient(real)
        return self.weight * self.term(binary, real, labels, indices)

    def _scored(
        self, binary: tf.Tensor, real: tf.Tensor, labels: Any, indices: Any
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of a joint batch, scored before the memory takes it, and whether any was."""
        if isinstance(self.memory, EmbeddingQueueLayer):
            others = self.memory.negatives(tf.shape(binary)[0], labels)
            losses = info_nce_loss(
                *(binary, real),
                binary_negatives=others.binary,
                real_negatives=others.real,
                keep=others.keep,
                temperature=self.temperature,
            )
            scored = self.memory.written > 0
            self.memory.write(binary, real, labels)
            return tf.reduce_mean(losses), scored
        if isinstance(self.memory, MemoryBankLayer):
            is_first = tf.equal(self.memory.draws, 0)
            others = self.memory.negatives(indices, labels)
            log_scale = tf.where(is_first, self._log_scale_of(binary, real, others), self.log_scale)
            self.log_scale.assign(log_scale)
            losses = nce_loss(
                *(binary, real, others.binary, others.real),
                keep=others.keep,
                temperature=self.temperature,
                log_scale=log_scale,
            )
            self.memory.write(indices, binary, real, labels)
            return tf.reduce_mean(losses), tf.constant(True)
        losses = info_nce_loss(binary, real, labels, temperature=self.temperature)
        return tf.reduce_mean(losses), tf.constant(True)

    def _log_scale_of(self, binary: tf.Tensor, real: tf.Tensor, others: Any) -> tf.Tensor:
        """log c of both anchors, a constant from the first batch on."""
        positive = tf.reduce_sum(binary * real, axis=-1) / self.temperature
        return tf.stack(
            [
                log_mean_exp(
                    positive,
                    tf.matmul(anchor, negatives, transpose_b=True) / self.temperature,
                    others.keep,
                )
                for anchor, negatives in ((binary, others.real), (real, others.binary))
            ]
        )

    def _measure(
        self,
        binary: tf.Tensor,
        real: tf.Tensor,
        *,
        share: tf.Tensor,
        loss: tf.Tensor,
        scored: tf.Tensor,
    ) -> None:
        binary, real = tf.stop_gradient(binary), tf.stop_gradient(real)
        unmasked = info_nce_loss(binary, real, temperature=self.temperature) / 2
        count = tf.cast(tf.shape(binary)[0], tf.float32)
        scored = tf.cast(scored, tf.float32)
        values = [1.0, info_nce_bound(unmasked, count - 1), share, scored, scored * loss]
        self.sums.assign_add(tf.stop_gradient(tf.stack(values)))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return ()

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.options()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ContrastiveTerm":
        return cls(**load_negatives(config))

    def options(self) -> dict[str, Any]:
        """Return the arguments that a layer in general does not have, as JSON holds them."""
        return {
            "negatives": negatives_config(self.negatives),
            "weight": self.weight,
            "temperature": self.temperature,
            "embedding": self.embedding,
            "pooling": self.pooling,
        }


# The name under which saved models of earlier versions have it.
keras.utils.get_custom_objects()["kbnn>Contrast"] = ContrastiveTerm


def _distinct_share(views: Any) -> tf.Tensor:
    """The share of samples whose signs no sample before them has, in each replica's batch."""
    views = tf.stop_gradient(tf.cast(views, tf.float32))
    count = tf.shape(views)[0]
    signs = tf.where(tf.reshape(views, (count, -1)) >= 0, 1.0, -1.0)
    # Sums of +-1 are exact in float32, up to 16 million of them.
    same = tf.matmul(signs, signs, transpose_b=True) == tf.cast(tf.shape(signs)[1], tf.float32)
    before = tf.linalg.band_part(tf.cast(same, tf.float32), -1, 0) - tf.eye(count)
    distinct = tf.reduce_sum(tf.cast(tf.reduce_max(before, axis=-1) <= 0, tf.float32))
    # An empty batch has a part in no mean.
    sums = mean_of_replicas(tf.stack([distinct, tf.cast(count, tf.float32)]))
    return tf.math.divide_no_nan(sums[0], sums[1])
