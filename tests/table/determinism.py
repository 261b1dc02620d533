"""Deterministic operations for a block; `kbnn train` turns them on for its whole process."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf
from tensorflow.python.framework.config import disable_op_determinism  # not in tf.config


@contextlib.contextmanager
def deterministic_operations() -> Iterator[None]:
    """Make TensorFlow's operations deterministic inside the block."""
    tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        disable_op_determinism()
