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
from kbnn.techniques.contrastive.embedding_head import POOLINGS, EmbeddingHead, MomentumHead
from kbnn.techniques.contrastive.embedding_queue import EmbeddingQueueLayer
from kbnn.techniques.contrastive.losses import check_temperature
from kbnn.techniques.contrastive.memory_bank import MemoryBankLayer, to_sample_indices
from kbnn.techniques.contrastive.negatives import (
    EmbeddingQueue,
    MemoryBank,
    Negatives,
    load_negatives,
    negatives_config,
    resolve_negatives,
)
from kbnn.techniques.contrastive.replicas import all_gather_batch, scale_gradient_for_replicas
from kbnn.techniques.contrastive.scoring import (
    EmbeddedBatch,
    score_with_bank,
    score_with_batch,
    score_with_queue,
)
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
        train_heads: Whether the heads are trained. If not, they stay random projections.
        normalize: Whether each head batch-normalizes its pooled input, by the mean and the variance
            of the batch.

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
    bank, its positives, size and momentum. Departures: the code has a weight of 3.2 and a
    temperature of 0.1, and does not train the heads. The other two sources of negatives are kbnn's.
    """

    def __init__(
        self,
        negatives: Negatives | str = "batch",
        weight: float = DEFAULT_WEIGHT,
        temperature: float = 0.3,
        embedding: int = 128,
        pooling: str = "average",
        train_heads: bool = True,
        normalize: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        check_temperature(temperature)
        self.negatives = resolve_negatives(negatives)
        self.weight = _checks.number("weight", weight, least=0)
        self.temperature = float(temperature)
        self.embedding = _checks.positive_int("embedding", embedding)
        self.pooling = _checks.one_of("pooling", pooling, POOLINGS)
        self.train_heads = _checks.boolean("train_heads", train_heads)
        self.normalize = _checks.boolean("normalize", normalize)
        form: dict[str, Any] = {
            "units": self.embedding,
            "pooling": self.pooling,
            "normalize": self.normalize,
            "is_trained": self.train_heads,
        }
        self.binary_head = EmbeddingHead(**form, name="binary_head")
        self.real_head = EmbeddingHead(**form, name="real_head")
        self.momentum_heads: list[MomentumHead] = []
        self.memory: EmbeddingQueueLayer | MemoryBankLayer | None = None
        if isinstance(self.negatives, EmbeddingQueue):
            self.memory = EmbeddingQueueLayer(self.negatives, self.embedding, name="queue")
            if self.negatives.head_momentum:
                self.momentum_heads = [
                    MomentumHead(**{**form, "is_trained": False}, name=f"{view}_momentum_head")
                    for view in ("binary", "real")
                ]
        elif isinstance(self.negatives, MemoryBank):
            self.memory = MemoryBankLayer(self.negatives, self.embedding, name="bank")

    def build(self, input_shape: Any) -> None:
        binary, real = input_shape
        parts = [(self.binary_head, binary), (self.real_head, real)]
        parts += zip(self.momentum_heads, (binary, real), strict=False)
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
        keys = self._keys((binary, real), views)
        batch = EmbeddedBatch(
            *all_gather_batch(*views, *keys, batch_context.classes(labels), indices)
        )
        loss, is_scored = self._score(batch)
        self.sums.assign_add(
            batch_sums(
                *(batch.binary, batch.real),
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

    def _keys(
        self, inputs: tuple[Any, Any], views: tuple[tf.Tensor, tf.Tensor]
    ) -> list[tf.Tensor | None]:
        """Return what a queue stores of both views, after an update of the momentum heads."""
        if not isinstance(self.negatives, EmbeddingQueue):
            return [None, None]
        if not self.momentum_heads:
            return [tf.stop_gradient(view) for view in views]
        heads = (self.binary_head, self.real_head)
        for momentum_head, head in zip(self.momentum_heads, heads, strict=True):
            momentum_head.follow(head, self.negatives.head_momentum)
        return [
            tf.stop_gradient(momentum_head(each))
            for momentum_head, each in zip(self.momentum_heads, inputs, strict=True)
        ]

    def _score(self, batch: EmbeddedBatch) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the loss of the joint batch, and whether it had anything to compare with."""
        is_scored = tf.constant(True)
        if isinstance(self.memory, EmbeddingQueueLayer):
            is_scored = self.memory.written > 0
            losses = score_with_queue(batch, self.temperature, self.memory)
        elif isinstance(self.memory, MemoryBankLayer):
            losses = score_with_bank(batch, self.temperature, self.memory, self.log_scale)
        else:
            losses = score_with_batch(batch, self.temperature)
        return tf.reduce_mean(losses), is_scored

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
            "train_heads": self.train_heads,
            "normalize": self.normalize,
        }

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.options()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ContrastiveTerm":
        return cls(**load_negatives(config))


# Models that were saved before have the class under this name.
keras.utils.get_custom_objects()["kbnn>Contrast"] = ContrastiveTerm
