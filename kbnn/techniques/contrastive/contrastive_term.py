"""The contrastive term between two views of a batch, as a layer."""

import math
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn import _checks
from kbnn.techniques.contrastive.contrast_metrics import (
    NUMBER_OF_SUMS,
    ContrastMetrics,
    batch_sums,
    distinct_codes_share,
    mean_metrics,
)
from kbnn.techniques.contrastive.embedding_head import POOLINGS, EmbeddingHead
from kbnn.techniques.contrastive.embedding_queue import EmbeddingQueueLayer
from kbnn.techniques.contrastive.losses import (
    check_temperature,
    info_nce_loss,
    log_mean_exp,
    nce_loss,
)
from kbnn.techniques.contrastive.memory_bank import MemoryBankLayer, to_sample_indices
from kbnn.techniques.contrastive.negative_embeddings import NegativeEmbeddings
from kbnn.techniques.contrastive.negatives import (
    EmbeddingQueue,
    MemoryBank,
    Negatives,
    load_negatives,
    negatives_config,
    resolve_negatives,
)
from kbnn.techniques.contrastive.replicas import all_gather_batch, scale_gradient_for_replicas
from kbnn.training import batch_context

DEFAULT_WEIGHT = 0.1
_NO_INDICES = (
    "Expected the indices of the samples, which a memory bank needs in training. Received: none. "
    "Call kbnn.trainers.Trainer(model, with_index=True).fit(data) with data (x, y, index), as "
    "kbnn.data.load(..., with_index=True) returns it."
)


@keras.utils.register_keras_serializable(package="kbnn")
class ContrastiveTerm(keras.layers.Layer):
    r"""Adds a contrastive loss between two views of a batch, in training.

    $$\lambda\, \frac{1}{B} \sum_{i=1}^{B} L_{contrast}(e_B^i, e_F^i)$$

    Each view has an embedding head. $L_{contrast}$ is `kbnn.losses.nce_loss` with a memory bank and
    `kbnn.losses.info_nce_loss` otherwise. Outside of training the layer adds 0. It always computes
    in float32.

    Args:
        negatives: The samples that a sample is compared with. `kbnn.techniques.SameBatch()` (alias
            "batch"): the rest of the batch. `kbnn.techniques.EmbeddingQueue(count=...)` (alias
            "queue"): the batches before. `kbnn.techniques.MemoryBank(rows=...)`: all training
            samples, which needs the samples' indices, from a
            `kbnn.trainers.Trainer(model, with_index=True)`.
        weight: lambda, at least 0. With 0 the network trains exactly as without the term, and the
            metrics are still computed.
        temperature: tau, at least 0.001.
        embedding: The size of the embeddings.
        pooling: How the heads treat positions: "average" or "flatten".

    A `kbnn.trainers.Trainer` passes the labels to the layer. Samples with equal labels are then not
    negatives of each other. Plain `fit` does not pass them. Under a distribution strategy the batch
    is the batch of all replicas. A layer that a model uses twice has its term twice.

    Call arguments:
        inputs: Two views, `[(batch, ..., channels), (batch, ..., channels)]`, the binary one first.
        training: Whether to add the loss, and to update the memory and the metrics.

    Returns:
        The added loss, a scalar.

    Raises:
        ValueError: An argument is out of range, a memory bank has no `rows`, or, in training, it
            gets no indices.

    Example:
        >>> import kbnn, numpy as np
        >>> contrast = kbnn.layers.ContrastiveTerm(weight=1.0)
        >>> views = [np.sign(np.random.normal(size=(8, 4, 4, 32))).astype("f") for _ in range(2)]
        >>> float(contrast(views, training=True)) > 0, float(contrast(views))
        (True, 0.0)

    Source: CMIM (kbnn/techniques/contrastive/README.md). From its code: the loss with a memory
    bank, its size and its momentum. Departures: the code has a weight of 3.2 and a temperature of
    0.1, and does not train the heads. The other two sources of negatives are kbnn's.
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
        self.sums = self.add_weight("sums", (NUMBER_OF_SUMS,), **kept)
        if isinstance(self.memory, MemoryBankLayer):
            self.log_scale = self.add_weight("log_scale", (2,), **kept)
        super().build(input_shape)

    def call(self, inputs: Any, training: Any = None) -> tf.Tensor:
        if training is None or isinstance(training, bool | int):
            loss = self._weighted_loss(inputs) if training else tf.zeros([])
        else:
            is_training = tf.cast(training, tf.bool)
            loss = tf.cond(is_training, lambda: self._weighted_loss(inputs), lambda: tf.zeros([]))
        # On every call, or Keras keeps the loss of a graph that no longer exists.
        self.add_loss(loss)
        return loss

    def batch_loss(
        self, binary: Any, real: Any, labels: Any = None, indices: Any = None
    ) -> tf.Tensor:
        """Return the loss of a training batch without its weight, and update memory and metrics.

        Args:
            binary: The binary views, `(batch, ..., channels)`.
            real: The real-valued views.
            labels: Labels in the form that `fit` takes, or None.
            indices: The indices of the samples, integers `(batch,)`, or None.

        Returns:
            A scalar, the mean over the batch of all replicas.

        Raises:
            ValueError: A memory bank gets no indices.
        """
        if not self.built:
            with tf.name_scope(self.name):
                self.build([tf.convert_to_tensor(view).shape for view in (binary, real)])
        if not isinstance(self.memory, MemoryBankLayer):
            indices = None
        elif indices is None:
            raise ValueError(_NO_INDICES)
        else:
            indices = to_sample_indices(indices, tf.convert_to_tensor(binary).shape[0])
        distinct_codes = distinct_codes_share(binary)
        views = self.binary_head(binary), self.real_head(real)
        gathered = all_gather_batch(*views, batch_context.classes(labels), indices)
        loss, is_scored = self._score(*gathered)
        self.sums.assign_add(
            batch_sums(
                *gathered[:2],
                temperature=self.temperature,
                distinct_codes=distinct_codes,
                loss=loss,
                is_scored=is_scored,
            )
        )
        return scale_gradient_for_replicas(loss)

    def metric_results(self) -> ContrastMetrics:
        """Return the metrics since the last `reset_metrics`."""
        return mean_metrics([float(value) for value in keras.backend.get_value(self.sums)])

    def reset_metrics(self) -> None:
        """Set the metrics back to 0."""
        self.sums.assign(tf.zeros_like(self.sums))

    def _weighted_loss(self, views: Any) -> tf.Tensor:
        binary, real = views
        batch = batch_context.current()
        needs_indices = isinstance(self.memory, MemoryBankLayer)
        if needs_indices and batch is batch_context.NO_BATCH and tf.inside_function():
            # A SavedModel holds a trace of the training call, which nobody may run.
            with tf.control_dependencies([tf.debugging.Assert(False, [_NO_INDICES])]):
                return tf.constant(math.nan)  # for XLA, which does not run assertions
        if self.weight == 0:
            # Keeps the gradients of the network bit for bit.
            binary, real = tf.stop_gradient(binary), tf.stop_gradient(real)
        return self.weight * self.batch_loss(binary, real, batch.labels, batch.indices)

    def _score(
        self, binary: tf.Tensor, real: tf.Tensor, labels: Any, indices: Any
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the loss of the joint batch, and whether it had anything to compare with.

        The memory takes the batch after it has been scored.
        """
        is_scored = tf.constant(True)
        if isinstance(self.memory, EmbeddingQueueLayer):
            others = self.memory.negatives(tf.shape(binary)[0], labels)
            is_scored = self.memory.written > 0
            losses = info_nce_loss(
                *(binary, real),
                binary_negatives=others.binary,
                real_negatives=others.real,
                keep=others.keep,
                temperature=self.temperature,
            )
            self.memory.write(binary, real, labels)
        elif isinstance(self.memory, MemoryBankLayer):
            is_first = tf.equal(self.memory.draws, 0)
            others = self.memory.negatives(indices, labels)
            log_scale = tf.where(is_first, self._first_scale(binary, real, others), self.log_scale)
            self.log_scale.assign(log_scale)
            losses = nce_loss(
                *(binary, real, others.binary, others.real),
                keep=others.keep,
                temperature=self.temperature,
                log_scale=log_scale,
            )
            self.memory.write(indices, binary, real, labels)
        else:
            losses = info_nce_loss(binary, real, labels, temperature=self.temperature)
        return tf.reduce_mean(losses), is_scored

    def _first_scale(
        self, binary: tf.Tensor, real: tf.Tensor, others: NegativeEmbeddings
    ) -> tf.Tensor:
        """Return log c for both anchors, which stays constant after the first batch."""
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

    def compute_output_shape(self, input_shape: Any) -> Any:
        return ()

    def options(self) -> dict[str, Any]:
        """Return the arguments of this class, without the arguments of every layer, for JSON."""
        return {
            "negatives": negatives_config(self.negatives),
            "weight": self.weight,
            "temperature": self.temperature,
            "embedding": self.embedding,
            "pooling": self.pooling,
        }

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.options()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ContrastiveTerm":
        return cls(**load_negatives(config))


# Models that were saved before have the class under this name.
keras.utils.get_custom_objects()["kbnn>Contrast"] = ContrastiveTerm
