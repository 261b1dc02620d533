"""Copies a model of mixed precision, which only training needs, in float32."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn.graph.larq_quantizers import KERNEL_QUANTIZERS, quantizers_of
from kbnn.graph.layers import from_config, layers_of
from kbnn.graph.rewrite import Replacement, rewrite


@contextlib.contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Make layers that are created in the block have a dtype policy, whatever the global one."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def in_float32(model: keras.Model) -> keras.Model:
    """Return a copy of a model that computes in float32; the model itself if it already does."""
    if not any(map(_is_half, layers_of(model))):
        return model

    def replace(layer: keras.layers.Layer) -> Any:
        if not _is_half(layer):
            return None
        copy = from_config(layer, with_dtype(layer.get_config(), "float32"))
        return Replacement(copy, _weights(layer))

    with dtype_policy("float32"):
        return rewrite(model, replace)


def _weights(layer: keras.layers.Layer) -> list[np.ndarray]:
    """Return a layer's weights, with quantized kernels rounded as the quantizer receives them."""
    kernels = [
        getattr(layer, KERNEL_QUANTIZERS[argument], None)
        for argument in quantizers_of(layer)
        if argument in KERNEL_QUANTIZERS
    ]
    return [
        tf.cast(tf.cast(weight, layer.compute_dtype), weight.dtype).numpy()
        if any(weight is kernel for kernel in kernels)
        else weight.numpy()
        for weight in layer.weights
    ]


def _is_half(layer: keras.layers.Layer) -> bool:
    return str(layer.dtype_policy.name).startswith("mixed_")


def with_dtype(config: Any, policy: str) -> Any:
    """Return a config with another dtype policy, in the quantizers inside it too."""
    if isinstance(config, dict):
        return {
            key: policy if key == "dtype" else with_dtype(value, policy)
            for key, value in config.items()
        }
    return config
