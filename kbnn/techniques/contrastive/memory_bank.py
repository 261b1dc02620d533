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
    has_other_class,
    remembered_classes,
)
from kbnn.techniques.contrastive.negatives import MemoryBank
from kbnn.techniques.contrastive.replicas import gathered

# Named, because the default may differ from device to device.
_ALGORITHM = "philox"


@keras.utils.register_keras_serializable(package="kbnn", name="MemoryBank")
class MemoryBankLayer(keras.layers.Layer):
    r"""Keeps a running embedding of every training sample, for both views, and its class.

    When a sample has been scored, its rows become

    $$v_i \leftarrow \frac{m\, v_i + (1 - m)\, e_i}{\| m\, v_i + (1 - m)\, e_i \|}$$

    They start uniform in $(-a, a)$ with $a = \sqrt{3 / \mathrm{units}}$, so that their length is
    about 1. The weights are saved and not trained, and no gradient reaches them. A step writes only
    the rows of its batch. The drawn negatives depend on the seed and on a saved counter. Under a
    distribution strategy every replica has to write the same rows: the batch of all replicas.

    If a batch contains a sample twice, its first embedding is written. An out-of-range index raises
    an error. XLA cannot raise; there the sample is skipped.

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
        # The replicas' copies are each written by their replica, and stay the same.
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

    def negatives(self, indices: tf.Tensor, labels: tf.Tensor | None = None) -> NegativeEmbeddings:
        """Draw rows for a batch of samples, whose classes may be known, and count the draw.

        With `per_anchor` each sample has rows of its own: `binary` and `real` are all rows then,
        and `keep` marks the drawn ones.
        """
        if not self.built:
            self.build(None)
        indices = checked_indices(indices)
        seed = tf.constant(self.settings.seed, tf.int64)
        key = tf.stack([seed, tf.convert_to_tensor(self.draws)])
        self.draws.assign_add(1)
        batch = tf.shape(indices)[0]
        if self.settings.per_anchor:
            every = tf.range(self.rows, dtype=tf.int64)
            allowed = self._allowed(indices, labels, every, tf.convert_to_tensor(self.row_labels))
            order = tf.where(allowed, _random([batch, self.rows], key), tf.int32.min)
            drawn = tf.math.top_k(order, min(self.settings.count, self.rows)).indices
            samples = tf.broadcast_to(tf.range(batch)[:, None], tf.shape(drawn))
            places = tf.stack([samples, drawn], axis=-1)
            keep = tf.scatter_nd(places, tf.ones_like(drawn), [batch, self.rows]) > 0
            binary, real = map(tf.convert_to_tensor, (self.binary_rows, self.real_rows))
            return NegativeEmbeddings(binary, real, keep & allowed)
        drawn = self._draw(key)
        others = gathered(self.row_labels, drawn)
        return NegativeEmbeddings(
            gathered(self.binary_rows, drawn),
            gathered(self.real_rows, drawn),
            self._allowed(indices, labels, drawn, others),
        )

    def write(
        self,
        indices: tf.Tensor,
        binary: tf.Tensor,
        real: tf.Tensor,
        labels: tf.Tensor | None = None,
    ) -> None:
        """Move the rows of samples towards their embeddings, and remember their classes."""
        indices = checked_indices(indices)
        check = tf.debugging.assert_equal(
            self._is_row(indices),
            True,
            f"Expected sample indices from 0 to {self.rows - 1}, below the bank's number of rows.",
        )
        # None where tensors have values; an operation in graphs.
        with tf.control_dependencies([] if check is None else [check]):
            indices = tf.identity(indices)
        momentum = self.settings.momentum
        if momentum < 1:
            places, first = self._places(indices)
            for name, embeddings in {"binary_rows": binary, "real_rows": real}.items():
                rows = getattr(self, name)
                old = gathered(rows, places)
                new = tf.gather(tf.stop_gradient(embeddings), first)
                new = tf.math.l2_normalize(momentum * old + (1 - momentum) * new, axis=-1)
                # Where no index is a row, all places are one, which stays as it is.
                new = tf.where(tf.reduce_any(self._is_row(indices)), new, old)
                rows.scatter_update(tf.IndexedSlices(new, places))
        places, first = self._places(indices)
        known = tf.gather(remembered_classes(labels, tf.shape(indices)[0]), first)
        known = tf.where(
            tf.reduce_any(self._is_row(indices)), known, gathered(self.row_labels, places)
        )
        self.row_labels.scatter_update(tf.IndexedSlices(known, places))

    def _allowed(
        self, indices: tf.Tensor, labels: tf.Tensor | None, drawn: tf.Tensor, others: tf.Tensor
    ) -> tf.Tensor:
        """Where drawn rows are not a sample's own and not known to be of its class."""
        is_other = tf.cast(indices, tf.int64)[:, None] != drawn[None, :]
        return is_other & has_other_class(labels, others, tf.shape(indices)[0])

    def _draw(self, key: tf.Tensor) -> tf.Tensor:
        """Different rows, as many as are to be drawn, in random order."""
        if self.settings.count >= self.rows:
            return tf.range(self.rows, dtype=tf.int64)
        order = _random([self.rows], key)
        return tf.cast(tf.math.top_k(order, self.settings.count).indices, tf.int64)

    def _is_row(self, indices: tf.Tensor) -> tf.Tensor:
        return (indices >= 0) & (indices < self.rows)

    def _places(self, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """For each sample the row to write, and the sample of the batch that it is written from.

        Where a row comes several times, the same is written each time, so that no order decides.
        Indices that are none of a row stand for the first that is one.
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


def _random(shape: Any, key: tf.Tensor) -> tf.Tensor:
    """Random integers; unlike numbers from 0 to 1, they are the same under XLA."""
    return tf.random.stateless_uniform(shape, key, None, None, tf.int32, alg=_ALGORITHM)


def checked_indices(indices: Any, batch: int | None = None) -> tf.Tensor:
    """Sample indices as int64 `(batch,)`.

    Raises:
        ValueError: no integers, or of another shape.
    """
    indices = tf.convert_to_tensor(indices)
    if not indices.dtype.is_integer or not indices.shape.is_compatible_with((batch,)):
        raise ValueError(
            f"Expected sample indices to be integers `({batch or 'batch'},)`. "
            f"Received: {indices.dtype.name} of shape {indices.shape}"
        )
    return tf.cast(indices, tf.int64)
