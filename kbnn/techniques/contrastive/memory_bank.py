"""An embedding of every training sample, as negatives for the others."""

import math
import numbers
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
from kbnn.techniques.contrastive.replicas import gathered

# Named, because the default may differ from device to device.
_ALGORITHM = "philox"


@keras.utils.register_keras_serializable(package="kbnn")
class MemoryBank(keras.layers.Layer):
    r"""Keeps a running embedding of every sample, of both views, and its class once it is seen.

    When a sample has been scored, its rows become

    $$v_i \leftarrow \frac{m\, v_i + (1 - m)\, e_i}{\| m\, v_i + (1 - m)\, e_i \|}$$

    They begin uniform in $(-a, a)$ with $a = \sqrt{3 / \mathrm{units}}$, about of length 1. The
    weights are saved and not trained, and no gradient reaches them; the rows of a batch are written
    in place. Which rows are drawn as negatives is a function of the seed and of a counter that is
    saved too. Under a distribution strategy every replica has to write the same: the batch of all
    replicas.

    Args:
        rows: number of samples; their indices are below it.
        units: size of the embeddings.
        momentum: m, from 0 to 1. With 1 the rows stay as they are.
        count: how many rows are drawn as negatives.
        per_anchor: draw them for each sample anew, from other classes alone, in place of one draw
            for the batch from which each sample leaves its own class out. It sorts all rows for
            each sample and takes tens of times as long.
        seed: of the draws.

    A sample that is in a batch twice is written once, with its first embedding. An index that is
    none of a row is an error; under XLA, which has none, the sample is not written.

    Raises:
        ValueError: an argument out of range.

    >>> import kbnn, tensorflow as tf
    >>> bank = kbnn.layers.MemoryBank(rows=10, units=2, momentum=0.0)
    >>> bank.build(None)
    >>> bank.write(tf.constant([3], tf.int64), tf.constant([[1.0, 0.0]]), tf.constant([[0.0, 1.0]]))
    >>> bank.binary_rows.numpy()[3], bank.real_rows.numpy()[3]
    (array([1., 0.], dtype=float32), array([0., 1.], dtype=float32))

    Source: the memory of the paper's (CMIM) code, which is that of "Contrastive Representation
    Distillation" (Tian et al., 2020). There classes are known from the beginning and draws are per
    anchor; one draw for the batch is kbnn's.
    """

    def __init__(
        self,
        rows: int,
        units: int = 128,
        momentum: float = 0.5,
        count: int = 4096,
        per_anchor: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        for name, value in {"rows": rows, "units": units, "count": count}.items():
            check_count(name, value)
        check_momentum(momentum)
        check_draws(per_anchor, seed)
        self.rows, self.units, self.count = int(rows), int(units), int(count)
        self.momentum = float(momentum)
        self.per_anchor, self.seed = per_anchor, int(seed)

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

    def negatives(self, indices: tf.Tensor, labels: tf.Tensor | None = None) -> Negatives:
        """Draw rows for a batch of samples, whose classes may be known, and count the draw.

        With `per_anchor` each sample has rows of its own: `binary` and `real` are all rows then,
        and `keep` marks the drawn ones.
        """
        if not self.built:
            self.build(None)
        indices = checked_indices(indices)
        key = tf.stack([tf.constant(self.seed, tf.int64), tf.convert_to_tensor(self.draws)])
        self.draws.assign_add(1)
        batch = tf.shape(indices)[0]
        if self.per_anchor:
            every = tf.range(self.rows, dtype=tf.int64)
            allowed = self._allowed(indices, labels, every, tf.convert_to_tensor(self.row_labels))
            order = tf.where(allowed, _random([batch, self.rows], key), tf.int32.min)
            drawn = tf.math.top_k(order, min(self.count, self.rows)).indices
            samples = tf.broadcast_to(tf.range(batch)[:, None], tf.shape(drawn))
            places = tf.stack([samples, drawn], axis=-1)
            keep = tf.scatter_nd(places, tf.ones_like(drawn), [batch, self.rows]) > 0
            binary, real = map(tf.convert_to_tensor, (self.binary_rows, self.real_rows))
            return Negatives(binary, real, keep & allowed)
        drawn = self._draw(key)
        others = gathered(self.row_labels, drawn)
        return Negatives(
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
        if self.momentum < 1:
            places, first = self._places(indices)
            for name, embeddings in {"binary_rows": binary, "real_rows": real}.items():
                rows = getattr(self, name)
                old = gathered(rows, places)
                new = tf.gather(tf.stop_gradient(embeddings), first)
                new = tf.math.l2_normalize(self.momentum * old + (1 - self.momentum) * new, axis=-1)
                # Where no index is a row, all places are one, which stays as it is.
                new = tf.where(tf.reduce_any(self._is_row(indices)), new, old)
                rows.scatter_update(tf.IndexedSlices(new, places))
        places, first = self._places(indices)
        known = tf.gather(classes_or_none_known(labels, tf.shape(indices)[0]), first)
        known = tf.where(
            tf.reduce_any(self._is_row(indices)), known, gathered(self.row_labels, places)
        )
        self.row_labels.scatter_update(tf.IndexedSlices(known, places))

    def _allowed(
        self, indices: tf.Tensor, labels: tf.Tensor | None, drawn: tf.Tensor, others: tf.Tensor
    ) -> tf.Tensor:
        """Where drawn rows are not a sample's own and not known to be of its class."""
        is_other = tf.cast(indices, tf.int64)[:, None] != drawn[None, :]
        return is_other & of_another_class(labels, others, tf.shape(indices)[0])

    def _draw(self, key: tf.Tensor) -> tf.Tensor:
        """Different rows, as many as are to be drawn, in random order."""
        if self.count >= self.rows:
            return tf.range(self.rows, dtype=tf.int64)
        order = _random([self.rows], key)
        return tf.cast(tf.math.top_k(order, self.count).indices, tf.int64)

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
            "rows": self.rows,
            "units": self.units,
            "momentum": self.momentum,
            "count": self.count,
            "per_anchor": self.per_anchor,
            "seed": self.seed,
        }


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


def check_draws(per_anchor: Any, seed: Any) -> None:
    """Raise ValueError for what does not say how to draw."""
    if not isinstance(per_anchor, bool):
        raise ValueError(
            f"Expected `per_anchor` to be True or False. Received: per_anchor={per_anchor!r}"
        )
    if not isinstance(seed, numbers.Integral) or isinstance(seed, bool):
        raise ValueError(f"Expected `seed` to be an integer. Received: seed={seed!r}")


def check_momentum(momentum: Any) -> None:
    """Raise ValueError for what is no momentum."""
    is_number = isinstance(momentum, numbers.Real) and not isinstance(momentum, bool)
    if not is_number or not 0 <= momentum <= 1:
        raise ValueError(f"Expected `momentum` from 0 to 1. Received: momentum={momentum!r}")
