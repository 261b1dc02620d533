"""Which image comes when: the order of an epoch, and the split of a validation set."""

import numpy as np
import tensorflow as tf

from kbnn.data.augment import DRAWS
from kbnn.data.shuffle_epoch import EpochCounter

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
        A dataset of `(position, draws)`: int64 `(batch,)` and float32 `(batch, 3)`. The draws are
        the random numbers of each image, which depend only on the seed, the epoch and its position.
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


def stratified_split(
    labels: np.ndarray, validation: float | int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split positions into training and validation, class by class.

    Args:
        labels: int64 `(n,)`.
        validation: A fraction in (0, 1) of `n`, rounded and at least one image, or a count in
            `[1, n)`; 0 takes none.
        seed: Which images are taken depends only on `labels`, `validation` and this.

    Returns:
        Two sorted int64 arrays of positions in `labels`: training and validation.

    Raises:
        ValueError: Nothing would be left to train on.
    """
    total = len(labels)
    count = max(1, round(total * validation)) if isinstance(validation, float) else validation
    if validation == 0:
        count = 0
    if count >= total:
        raise ValueError(
            f"Expected `validation` to leave some of the {total} training images. "
            f"Received: validation={validation}"
        )
    _, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    # Largest remainder: each class gives its share rounded down, then the largest fractions one
    # image more, until the count is reached.
    quotas, remainders = np.divmod(sizes * count, total)
    most_cut_first = np.argsort(-remainders, kind="stable")
    quotas[most_cut_first[: count - quotas.sum()]] += 1
    # RandomState, because NumPy froze its stream; default_rng's stream may change.
    random = np.random.RandomState(seed)
    taken = np.zeros(total, bool)
    for label, quota in enumerate(quotas):
        taken[random.permutation(np.flatnonzero(inverse == label))[:quota]] = True
    return np.flatnonzero(~taken), np.flatnonzero(taken)
