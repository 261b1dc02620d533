"""Deterministic operations for a part of the process's life, as `kbnn train` has them for all."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf
from tensorflow.python.framework.config import disable_op_determinism  # not in tf.config


@contextlib.contextmanager
def deterministic_operations() -> Iterator[None]:
    """TensorFlow's operations are deterministic inside the block."""
    tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        disable_op_determinism()
