"""Datasets of image positions: which image comes when."""

import numpy as np
import tensorflow as tf

from kbnn.data.augment import DRAWS
from kbnn.data.epoch_counter import EpochCounter

# Named, because the default may differ from device to device.
_ALGORITHM = "philox"


def shuffled_order(
    positions: np.ndarray, *, batch_size: int, seed: int, counter: EpochCounter
) -> tf.data.Dataset:
    """Give `positions` in an order that is a pure function of the seed and the epoch.

    The epoch is taken from `counter` when the first element of an iteration is asked for.

    Args:
        positions: int64 `(n,)`, positions of images.
        batch_size: Number of positions per element; the last one may have fewer.
        seed: Seed of the order and of the draws.
        counter: Says which epoch starts, and at which batch.

    Returns:
        A dataset of `(position, draws)`: int64 `(batch,)` and float32 `(batch, 3)`, the random
        numbers of each image, a function of the seed, the epoch and its position alone.
    """
    rows = int(positions.max()) + 1

    def epoch_order(_: tf.Tensor) -> tf.data.Dataset:
        epoch, skipped = counter.start()
        key = tf.stack([tf.constant(seed, tf.int64), epoch])
        shuffled = tf.random.experimental.stateless_shuffle(
            tf.constant(positions, tf.int64), key, alg=_ALGORITHM
        )
        draws = tf.random.stateless_uniform(
            [rows, DRAWS],
            tf.random.experimental.stateless_fold_in(key, 1, alg=_ALGORITHM),
            alg=_ALGORITHM,
        )

        def batch(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            position = shuffled[start : start + batch_size]
            return position, tf.gather(draws, position)

        first = skipped * batch_size
        return tf.data.Dataset.range(first, len(positions), batch_size).map(batch)

    return tf.data.Dataset.range(1).flat_map(epoch_order)


def fixed_order(positions: np.ndarray, *, batch_size: int) -> tf.data.Dataset:
    """Give `positions` as they stand, in the form that `shuffled_order` has; all draws are 0."""
    constant = tf.constant(positions, tf.int64)

    def batch(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        position = constant[start : start + batch_size]
        return position, tf.zeros([tf.size(position), DRAWS])

    return tf.data.Dataset.range(0, len(positions), batch_size).map(batch)
