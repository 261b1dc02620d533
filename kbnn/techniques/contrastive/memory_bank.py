"""The state of a memory bank."""

import dataclasses
import math
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
from kbnn.techniques.contrastive.negatives import MemoryBank
from kbnn.techniques.contrastive.replicas import gather_rows

# The default differs between devices.
_ALGORITHM = "philox"


@keras.utils.register_keras_serializable(package="kbnn", name="MemoryBank")
class MemoryBankLayer(keras.layers.Layer):
    r"""Keeps a running embedding of every training sample, for both views, and its class.

    When a sample has been scored, its rows become

    $$v_i \leftarrow \frac{m\, v_i + (1 - m)\, e_i}{\| m\, v_i + (1 - m)\, e_i \|}$$

    They start uniform in $(-a, a)$ with $a = \sqrt{3 / \mathrm{units}}$, so that their length is
    about 1. A sample's rows are random until its first visit. The weights are saved and not
    trained, and no gradient reaches them. A step writes only the rows of its batch. The drawn
    negatives depend on the seed and on a saved counter. Under a distribution strategy every replica
    has to write the same rows: the batch of all replicas.

    If a batch contains a sample twice, its first embedding is written. An out-of-range index raises
    an error. XLA cannot raise; there the sample has no negatives, and is not written.

    Args:
        settings: A `MemoryBank` with `rows`.
        units: The size of an embedding.

    Raises:
        ValueError: `settings` have no `rows`, or `units` is not a positive integer.
    """

    def __init__(self, settings: MemoryBank, units: int, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        if settings.rows is None:
            raise ValueError(
                "Expected `rows`, the number of training samples: "
                f"negatives=kbnn.techniques.MemoryBank(rows=...). Received: {settings}"
            )
        self.settings, self.rows = settings, settings.rows
        self.units = _checks.positive_int("units", units)

    def build(self, input_shape: Any) -> None:
        # Each replica writes its own copy, and all write the same.
        kept = {"trainable": False, "experimental_autocast": False}
        limit = math.sqrt(3 / self.units)
        for name in ("binary_rows", "real_rows"):
            initializer = keras.initializers.RandomUniform(-limit, limit)
            shape = (self.rows, self.units)
            setattr(self, name, self.add_weight(name, shape, initializer=initializer, **kept))
        self.row_labels = self.add_weight(
            "row_labels",
            (self.rows,),
            dtype="int64",
            initializer=keras.initializers.Constant(NO_CLASS),
            **kept,
        )
        self.draws = self.add_weight("draws", (), dtype="int64", initializer="zeros", **kept)
        super().build(input_shape)

    def positives(self, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the binary and the real rows of samples, each `(batch, units)`.

        Args:
            indices: The indices of the samples, `(batch,)`.
        """
        if not self.built:
            self.build(None)
        places = tf.clip_by_value(self._check_rows(indices), 0, self.rows - 1)
        return gather_rows(self.binary_rows, places), gather_rows(self.real_rows, places)

    def negatives(self, indices: tf.Tensor, labels: tf.Tensor | None = None) -> NegativeEmbeddings:
        """Draw negatives for a batch of samples, and count the draw.

        With `per_anchor`, `binary` and `real` are all rows, and `keep` marks the drawn ones.

        Args:
            indices: The indices of the samples, `(batch,)`.
            labels: The classes of the samples, int64 `(batch,)`, or None.
        """
        if not self.built:
            self.build(None)
        indices = to_sample_indices(indices)
        seed = tf.constant(self.settings.seed, tf.int64)
        key = tf.stack([seed, tf.convert_to_tensor(self.draws)])
        self.draws.assign_add(1)
        batch = tf.shape(indices)[0]
        if self.settings.per_anchor:
            all_rows = tf.range(self.rows, dtype=tf.int64)
            row_labels = tf.convert_to_tensor(self.row_labels)
            allowed = self._is_negative(indices, labels, all_rows, row_labels)
            order = tf.where(allowed, _random_integers([batch, self.rows], key), tf.int32.min)
            drawn = tf.math.top_k(order, min(self.settings.count, self.rows)).indices
            samples = tf.broadcast_to(tf.range(batch)[:, None], tf.shape(drawn))
            places = tf.stack([samples, drawn], axis=-1)
            keep = tf.scatter_nd(places, tf.ones_like(drawn), [batch, self.rows]) > 0
            binary, real = map(tf.convert_to_tensor, (self.binary_rows, self.real_rows))
            return NegativeEmbeddings(binary, real, keep & allowed)
        drawn = self._draw_rows(key)
        others = gather_rows(self.row_labels, drawn)
        return NegativeEmbeddings(
            gather_rows(self.binary_rows, drawn),
            gather_rows(self.real_rows, drawn),
            self._is_negative(indices, labels, drawn, others),
        )

    def write(
        self,
        indices: tf.Tensor,
        binary: tf.Tensor,
        real: tf.Tensor,
        labels: tf.Tensor | None = None,
    ) -> None:
        """Move the rows of samples towards their embeddings, and store their classes.

        Args:
            indices: The indices of the samples, `(batch,)`.
            binary: Embeddings of the binary views, `(batch, units)`.
            real: Embeddings of the real-valued views.
            labels: The classes of the samples, int64 `(batch,)`, or None.
        """
        indices = self._check_rows(indices)
        momentum = self.settings.momentum
        if momentum < 1:
            places, first = self._rows_to_write(indices)
            for name, embeddings in {"binary_rows": binary, "real_rows": real}.items():
                rows = getattr(self, name)
                old = gather_rows(rows, places)
                new = tf.gather(tf.stop_gradient(embeddings), first)
                new = tf.math.l2_normalize(momentum * old + (1 - momentum) * new, axis=-1)
                # If no index is a row, all places are the same one, which must not change.
                new = tf.where(tf.reduce_any(self._is_row(indices)), new, old)
                rows.scatter_update(tf.IndexedSlices(new, places))
        places, first = self._rows_to_write(indices)
        known = tf.gather(classes_to_store(labels, tf.shape(indices)[0]), first)
        known = tf.where(
            tf.reduce_any(self._is_row(indices)), known, gather_rows(self.row_labels, places)
        )
        self.row_labels.scatter_update(tf.IndexedSlices(known, places))

    def _is_negative(
        self, indices: tf.Tensor, labels: tf.Tensor | None, drawn: tf.Tensor, others: tf.Tensor
    ) -> tf.Tensor:
        """Return which rows are not a sample's own and not known to have its class."""
        is_other = (indices[:, None] != drawn[None, :]) & self._is_row(indices)[:, None]
        return is_other & has_other_class(labels, others, tf.shape(indices)[0])

    def _draw_rows(self, key: tf.Tensor) -> tf.Tensor:
        """Return different rows in random order, as many as the settings say."""
        if self.settings.count >= self.rows:
            return tf.range(self.rows, dtype=tf.int64)
        order = _random_integers([self.rows], key)
        return tf.cast(tf.math.top_k(order, self.settings.count).indices, tf.int64)

    def _check_rows(self, indices: Any) -> tf.Tensor:
        """Return sample indices after a check that each is a row."""
        indices = to_sample_indices(indices)
        check = tf.debugging.assert_equal(
            self._is_row(indices),
            True,
            f"Expected sample indices from 0 to {self.rows - 1}, the rows of the memory bank.",
        )
        # The check is None in eager mode, where it has raised, and an operation in graphs.
        with tf.control_dependencies([] if check is None else [check]):
            return tf.identity(indices)

    def _is_row(self, indices: tf.Tensor) -> tf.Tensor:
        return (indices >= 0) & (indices < self.rows)

    def _rows_to_write(self, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return for each sample the row to write, and the sample whose embedding it gets.

        A repeated row gets the same embedding each time, so the order of writing does not matter.
        An out-of-range index is replaced by the first index that is in range.
        """
        same = indices[:, None] == indices[None, :]
        first = tf.argmax(tf.cast(same, tf.int32), axis=1)
        is_row = self._is_row(indices)
        first = tf.where(is_row, first, tf.argmax(tf.cast(is_row, tf.int32)))
        return tf.clip_by_value(tf.gather(indices, first), 0, self.rows - 1), first

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            **dataclasses.asdict(self.settings),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MemoryBankLayer":
        config = dict(config)
        names = [field.name for field in dataclasses.fields(MemoryBank) if field.name in config]
        return cls(MemoryBank(**{name: config.pop(name) for name in names}), **config)


def _random_integers(shape: Any, key: tf.Tensor) -> tf.Tensor:
    """Return random integers, which XLA draws alike; numbers from 0 to 1 it does not."""
    return tf.random.stateless_uniform(shape, key, None, None, tf.int32, alg=_ALGORITHM)


def to_sample_indices(indices: Any, batch: int | None = None) -> tf.Tensor:
    """Return sample indices as int64 `(batch,)`.

    Raises:
        ValueError: They are not integers, or have another shape.
    """
    indices = tf.convert_to_tensor(indices)
    if not indices.dtype.is_integer or not indices.shape.is_compatible_with((batch,)):
        raise ValueError(
            f"Expected sample indices to be integers `({batch or 'batch'},)`. "
            f"Received: {indices.dtype.name} of shape {indices.shape}"
        )
    return tf.cast(indices, tf.int64)
