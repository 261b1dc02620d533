"""Labelled images, in memory or in files, and how a batch of them is read."""

import os
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from kbnn.data.decode import decode_image


class Examples(Protocol):
    """Labelled images that a pipeline can read by position."""

    labels: np.ndarray

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)` of the images that `read` gives."""

    def read(self, order: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
        """Turn `(position, draws)` into `(image, label, position, draws)`, all batched."""


class ArrayExamples:
    """Images that are held in memory; a batch is one gather.

    Args:
        images: uint8 `(n, height, width, channels)`.
        labels: int64 `(n,)`.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images = images
        self.labels = labels

    @property
    def image_shape(self) -> tuple[int, int, int]:
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    @cached_property
    def _tensors(self) -> tuple[tf.Tensor, tf.Tensor]:
        # Pipelines run on the CPU; a default GPU would take the tensors otherwise.
        with tf.device("CPU:0"):
            return tf.constant(self.images), tf.constant(self.labels)

    def read(self, order: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
        images, labels = self._tensors
        return order.map(
            lambda position, draws: (
                tf.gather(images, position),
                tf.gather(labels, position),
                position,
                draws,
            ),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )


class FileExamples:
    """Images that stay in their files until a batch needs them.

    Args:
        paths: One file per image.
        labels: int64 `(n,)`.
        image_size: `(height, width)` that every image is resized to.
        channels: 3, or 1 for gray.
    """

    def __init__(
        self, paths: Sequence[str], labels: np.ndarray, image_size: tuple[int, int], channels: int
    ) -> None:
        self.paths = paths
        self.labels = labels
        self.image_shape = (*image_size, channels)

    def read(self, order: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
        with tf.device("CPU:0"):
            paths = tf.constant(self.paths)
            labels = tf.constant(self.labels)

        def one(position: tf.Tensor, draws: tf.Tensor) -> tf.data.Dataset:
            # TensorFlow's error does not say which file failed to decode. A file that yields no
            # image therefore falls through to an element that raises an error with its name.
            file = tf.data.Dataset.from_tensors(tf.gather(paths, position))
            image = file.map(self._decode).ignore_errors().concatenate(file.map(self._refuse))
            label = tf.gather(labels, position)
            return image.take(1).map(lambda pixels: (pixels, label, position, draws))

        # At most cycle_length files are decoded at a time; the order does not depend on it.
        images = order.unbatch().interleave(
            one,
            cycle_length=max(16, os.cpu_count() or 1),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        return images.batch(batch_size)

    def _decode(self, path: tf.Tensor) -> tf.Tensor:
        image = decode_image(tf.io.read_file(path))
        if self.image_shape[-1] == 1:
            image = tf.image.rgb_to_grayscale(image)
        return resize(image, self.image_shape[:2])

    def _refuse(self, path: tf.Tensor) -> tf.Tensor:
        message = "Expected an image that tf.io.decode_image reads in 3 channels. Received: file="
        never = tf.strings.length(path) < 0
        with tf.control_dependencies([tf.debugging.Assert(never, [message, path])]):
            return tf.zeros(self.image_shape, tf.uint8)


class Source(NamedTuple):
    """What was found under a name; `validation` is None if the source has no validation set."""

    train: Examples
    test: Examples
    validation: Examples | None
    class_names: tuple[str, ...]


def resize(images: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Resize uint8 images, one or a batch, to `(height, width)`: bilinear, antialiased, rounded."""
    resized = tf.image.resize(images, size, antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8)


def array_examples(images: np.ndarray, labels: np.ndarray, origin: str) -> ArrayExamples:
    """Check arrays and wrap them.

    Args:
        images: uint8 `(n, height, width)` or `(n, height, width, channels)`.
        labels: Integers `(n,)` or `(n, 1)`.
        origin: Where they came from, for the messages.

    Raises:
        ValueError: A type or shape is another, or there are no images.
    """
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or 0 in images.shape:
        raise ValueError(
            "Expected uint8 images of shape (n, height, width) or (n, height, width, channels), "
            f"n at least 1. Received: {images.dtype} of shape {images.shape} in {origin}"
        )
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if labels.shape == (len(images), 1):
        labels = labels[:, 0]
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != (len(images),):
        raise ValueError(
            f"Expected integer labels of shape ({len(images)},), one per image. "
            f"Received: {labels.dtype} of shape {labels.shape} in {origin}"
        )
    return ArrayExamples(images, labels.astype(np.int64))
