"""From positions to finished batches."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from kbnn.data.augment import augment
from kbnn.data.examples import Examples, resize
from kbnn.data.normalization import normalize
from kbnn.data.order import fixed_order, shuffled_order
from kbnn.data.shuffle_epoch import EpochCounter, register


class Pipeline(NamedTuple):
    """What happens to images on their way, and how many make a batch.

    Attributes:
        batch_size: Images per batch.
        image_size: `(height, width)` to resize to, or None.
        normalized: Whether to give float32 in [-1, 1] instead of uint8.
        crop: Whether training images are cropped at random.
        flip: Whether training images are mirrored at random.
        with_index: Whether elements end with the position.
        seed: Seed of order and augmentation.
    """

    batch_size: int
    image_size: tuple[int, int] | None
    normalized: bool
    crop: bool
    flip: bool
    with_index: bool
    seed: int

    def training(self, examples: Examples, positions: np.ndarray) -> tf.data.Dataset:
        """Shuffled and augmented; `set_epoch` knows the result."""
        counter = EpochCounter()
        order = shuffled_order(
            positions, batch_size=self.batch_size, seed=self.seed, counter=counter
        )
        train = self._finish(examples, order, len(positions), augmented=self.crop or self.flip)
        register(train, counter)
        return train

    def evaluation(self, examples: Examples, positions: np.ndarray) -> tf.data.Dataset:
        """In order, not augmented."""
        order = fixed_order(positions, batch_size=self.batch_size)
        return self._finish(examples, order, len(positions), augmented=False)

    def _finish(
        self, examples: Examples, order: tf.data.Dataset, count: int, *, augmented: bool
    ) -> tf.data.Dataset:
        def finish(
            images: tf.Tensor, labels: tf.Tensor, positions: tf.Tensor, draws: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            if self.image_size is not None and images.shape[1:3] != self.image_size:
                images = resize(images, self.image_size)
            if augmented:
                images = augment(images, draws, crop=self.crop, flip=self.flip)
            if self.normalized:
                images = normalize(images)
            return (images, labels, positions) if self.with_index else (images, labels)

        options = tf.data.Options()
        # Each worker takes its share of every batch; sharding by files would change the order.
        options.experimental_distribute.auto_shard_policy = (
            tf.data.experimental.AutoShardPolicy.DATA
        )
        batches = -(-count // self.batch_size)
        return (
            examples.read(order, self.batch_size)
            .map(finish, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
            .apply(tf.data.experimental.assert_cardinality(batches))
            .with_options(options)
            .prefetch(tf.data.AUTOTUNE)
        )
