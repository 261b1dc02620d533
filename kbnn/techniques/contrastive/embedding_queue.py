"""The embeddings of recent batches, as negatives for the next."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn.techniques.contrastive.embedding_head import check_count
from kbnn.techniques.contrastive.negatives import (
    NO_CLASS,
    Negatives,
    classes_or_none_known,
    of_another_class,
)


@keras.utils.register_keras_serializable(package="kbnn")
class EmbeddingQueue(keras.layers.Layer):
    """Keeps the last embeddings that were written to it, of both views, and their classes.

    It is empty at first; when it is full, the oldest go. Its weights are saved and not trained, and
    no gradient reaches them. Under a distribution strategy every replica has to write the same: the
    batch of all replicas.

    Args:
        rows: how many embeddings it keeps.
        units: their size.

    Raises:
        ValueError: a number that is not a positive integer.

    >>> import kbnn, tensorflow as tf
    >>> queue = kbnn.layers.EmbeddingQueue(rows=4, units=2)
    >>> queue.build(None)
    >>> queue.write(tf.ones([3, 2]), -tf.ones([3, 2]), labels=tf.constant([0, 1, 1], tf.int64))
    >>> queue.negatives(1, labels=tf.constant([1], tf.int64)).keep.numpy()
    array([[ True, False, False, False]])

    Source: the queue of "Momentum Contrast" (He et al., 2020), here of two views. kbnn's.
    """

    def __init__(self, rows: int = 4096, units: int = 128, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        check_count("rows", rows)
        check_count("units", units)
        self.rows, self.units = int(rows), int(units)

    def build(self, input_shape: Any) -> None:
        # The replicas' copies are each written by their replica, and stay the same.
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

    def negatives(self, batch: Any, labels: tf.Tensor | None = None) -> Negatives:
        """What the queue holds, for a batch of a size, whose classes may be known."""
        if not self.built:
            self.build(None)
        filled = tf.range(self.rows, dtype=tf.int64) < self.written
        others = tf.convert_to_tensor(self.row_labels)
        return Negatives(
            tf.convert_to_tensor(self.binary_rows),
            tf.convert_to_tensor(self.real_rows),
            of_another_class(labels, others, batch) & filled[None, :],
        )

    def write(self, binary: tf.Tensor, real: tf.Tensor, labels: tf.Tensor | None = None) -> None:
        """Put the embeddings of a batch in the place of the oldest; of a larger one its last."""
        count = tf.shape(binary, tf.int64)[0]
        # Two embeddings for one place have no order.
        skipped = tf.maximum(count - self.rows, 0)
        places = (self.written + tf.range(skipped, count)) % self.rows
        values = {
            "binary_rows": tf.stop_gradient(binary),
            "real_rows": tf.stop_gradient(real),
            "row_labels": classes_or_none_known(labels, tf.cast(count, tf.int32)),
        }
        for name, value in values.items():
            getattr(self, name).scatter_update(tf.IndexedSlices(value[skipped:], places))
        self.written.assign_add(count)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rows": self.rows, "units": self.units}
