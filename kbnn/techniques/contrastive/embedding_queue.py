"""The state of an embedding queue."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn import _checks
from kbnn.techniques.contrastive.negative_embeddings import (
    NO_CLASS,
    NegativeEmbeddings,
    classes_to_store,
    has_other_class,
)
from kbnn.techniques.contrastive.negatives import EmbeddingQueue


@keras.utils.register_keras_serializable(package="kbnn", name="EmbeddingQueue")
class EmbeddingQueueLayer(keras.layers.Layer):
    """Keeps the most recent embeddings of both views by the momentum heads, and their classes.

    It starts empty. When it is full, new embeddings replace the oldest. The weights are saved and
    not trained, and no gradient reaches them. Under a distribution strategy every replica has to
    write the same embeddings: the batch of all replicas.

    Args:
        settings: An `EmbeddingQueue`, which says how many embeddings to keep.
        units: The size of an embedding.

    Raises:
        ValueError: `units` is not a positive integer.
    """

    def __init__(self, settings: EmbeddingQueue, units: int, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.settings, self.rows = settings, settings.count
        self.units = _checks.positive_int("units", units)

    def build(self, input_shape: Any) -> None:
        # Each replica writes its own copy, and all write the same.
        kept = {"trainable": False, "experimental_autocast": False}
        for name in ("binary_rows", "real_rows"):
            shape = (self.rows, self.units)
            setattr(self, name, self.add_weight(name, shape, initializer="zeros", **kept))
        self.row_labels = self.add_weight(
            "row_labels",
            (self.rows,),
            dtype="int64",
            initializer=keras.initializers.Constant(NO_CLASS),
            **kept,
        )
        self.written = self.add_weight("written", (), dtype="int64", initializer="zeros", **kept)
        super().build(input_shape)

    def negatives(self, batch: Any, labels: tf.Tensor | None = None) -> NegativeEmbeddings:
        """Return what the queue holds.

        Args:
            batch: The size of the batch that is compared with it.
            labels: The classes of the batch, int64 `(batch,)`, or None.
        """
        if not self.built:
            self.build(None)
        filled = tf.range(self.rows, dtype=tf.int64) < self.written
        others = tf.convert_to_tensor(self.row_labels)
        return NegativeEmbeddings(
            tf.convert_to_tensor(self.binary_rows),
            tf.convert_to_tensor(self.real_rows),
            has_other_class(labels, others, batch) & filled[None, :],
        )

    def write(self, binary: tf.Tensor, real: tf.Tensor, labels: tf.Tensor | None = None) -> None:
        """Replace the oldest embeddings by the batch, or by its last ones if it is larger."""
        count = tf.shape(binary, tf.int64)[0]
        # One scatter with two embeddings for one place has no defined order.
        skipped = tf.maximum(count - self.rows, 0)
        places = (self.written + tf.range(skipped, count)) % self.rows
        values = {
            "binary_rows": tf.stop_gradient(binary),
            "real_rows": tf.stop_gradient(real),
            "row_labels": classes_to_store(labels, tf.cast(count, tf.int32)),
        }
        for name, value in values.items():
            getattr(self, name).scatter_update(tf.IndexedSlices(value[skipped:], places))
        self.written.assign_add(count)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rows": self.rows,
            "head_momentum": self.settings.head_momentum,
            "units": self.units,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "EmbeddingQueueLayer":
        config = dict(config)
        names = {"rows": "count", "head_momentum": "head_momentum"}
        options = {names[name]: config.pop(name) for name in names if name in config}
        return cls(EmbeddingQueue(**options), **config)
