"""How binary a network in training is, layer by layer, in the logs of `fit`."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn import _checks
from kbnn.graph.larq_quantizers import (
    KERNEL_QUANTIZERS,
    base_quantizer,
    latent_kernel,
    quantized_kernels,
    quantizers_of,
)
from kbnn.math import smooth_sign
from kbnn.techniques.self_binarizing.binary_batch_normalization import BinaryBatchNormalization
from kbnn.techniques.self_binarizing.smooth_sign import SmoothSign
from kbnn.training.trainer import model_of

SATURATION = 10.0
"""From this product of sharpness and magnitude on, the gradient is below 1e-8 of its maximum."""


class BinarizationMonitor(keras.callbacks.Callback):
    """Write into the logs of each epoch how binary the kernels and activations are.

    For each binary kernel:

    - `<layer>/kernel_flip_ratio`: share of weights whose binary value has changed since the epoch
      before.

    and for each `SmoothSign` besides:

    - `<layer>/kernel_residual`: mean of `1 - |tanh(sharpness * w)|`, 0 for a binary kernel;
    - `<layer>/kernel_saturation`: share of weights with `sharpness * |w| > 10`, which hardly learn;
    - `<layer>/input_residual`, `<layer>/input_saturation`: the same of what is binarised in front
      of the layer, or in it, on `images`.

    "kernel" is the weight's name; a depthwise one is "depthwise_kernel". A name that a nested model
    has again gets a number. Put `CSVLogger` and `TensorBoard` behind this callback.

    Args:
        images: a batch of images, as the model takes them, on which to look at activations, of a
            model of one input; None leaves them out. They go through the network as at inference.

    Raises:
        TypeError: images that are no array.
        ValueError: in `fit`, a model without a binary kernel, or images that do not fit it.

    >>> import kbnn
    >>> monitor = kbnn.callbacks.BinarizationMonitor()   # for fit(..., callbacks=[monitor])

    The measures are kbnn's.
    """

    def __init__(self, images: Any = None) -> None:
        super().__init__()
        if not (images is None or hasattr(images, "shape")):
            raise TypeError(
                "Expected `images` to be an array, a batch of images. "
                f"Received: {type(images).__name__}"
            )
        self._images = images
        self._layers: list[keras.layers.Layer] = []
        self._kernels: dict[str, tuple[keras.layers.Layer, str]] = {}
        self._signs: dict[str, np.ndarray] = {}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        _checks.built(self.model)
        self._check_images()
        self._kernels = quantized_kernels(self.model)
        self._layers = [
            layer
            for layer in self.model.submodules
            if isinstance(layer, keras.layers.Layer) and quantizers_of(layer)
        ]
        if not dict(self._kernel_signs()):
            raise ValueError(
                "Expected a model with a kernel that is quantized to one bit. "
                f"Received: model={self.model.name!r} without one"
            )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # Not before: `BackupAndRestore` may have put other weights in place.
        self._signs = dict(self._kernel_signs())

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is None:
            return
        for name, signs in self._kernel_signs():
            logs[f"{name}_flip_ratio"] = float(np.mean(signs != self._signs[name]))
        for name, (layer, argument) in self._kernels.items():
            quantizer = quantizers_of(layer)[argument]
            if isinstance(quantizer, SmoothSign):
                _measure(logs, name, quantizer, latent_kernel(layer, argument))
        if self._images is not None:
            self._look_at_inputs(logs)

    def _kernel_signs(self) -> Iterator[tuple[str, np.ndarray]]:
        for name, (layer, argument) in self._kernels.items():
            quantizer = quantizers_of(layer)[argument]
            if quantizer.precision == 1:
                signs = quantizer(latent_kernel(layer, argument), training=False)
                yield name, signs.numpy() >= 0

    def _check_images(self) -> None:
        if self._images is None:
            return
        received = tf.TensorShape(self._images.shape)
        shipped = model_of(self.model)
        expected = [tf.TensorShape(tensor.shape) for tensor in shipped.inputs or []]
        if len(expected) > 1:
            raise ValueError(
                "Expected a model of one input, to look at its activations on `images`. "
                f"Received: model={shipped.name!r} with {len(expected)} inputs"
            )
        if (
            received.rank == 0
            or not received[0]
            or not all(map(received.is_compatible_with, expected))
        ):
            raise ValueError(
                f"Expected `images` to be a batch that fits the model's input, {expected}. "
                f"Received: shape {received}"
            )

    def _look_at_inputs(self, logs: dict[str, Any]) -> None:
        found = [
            (layer, base_quantizer(quantizer))
            for layer in self._layers
            for argument, quantizer in quantizers_of(layer).items()
            if isinstance(base_quantizer(quantizer), SmoothSign)
            and argument not in KERNEL_QUANTIZERS
        ]
        with contextlib.ExitStack() as stack:
            # At inference binary batch normalization compares, and calls no quantizer.
            seen = [
                stack.enter_context(_recorded(layer if _compares(layer) else quantizer))
                for layer, quantizer in found
            ]
            self.model(self._images, training=False)
        names: list[str] = []
        for (layer, quantizer), tensors in zip(found, seen, strict=True):
            # A layer that is used several times in the model is measured over all its inputs.
            values = map(layer.normalized, tensors) if _compares(layer) else tensors
            names.append(layer.name)
            number = names.count(layer.name)
            name = f"{layer.name}/input" if number == 1 else f"{layer.name}/input#{number}"
            _measure(logs, name, quantizer, tf.concat([tf.reshape(x, [-1]) for x in values], 0))


def _compares(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, BinaryBatchNormalization)


@contextlib.contextmanager
def _recorded(layer: keras.layers.Layer) -> Iterator[list[tf.Tensor]]:
    """Keep what a layer is called with."""
    seen: list[tf.Tensor] = []
    call = layer.call

    @functools.wraps(call)
    def record(inputs: tf.Tensor, *args: Any, **kwargs: Any) -> tf.Tensor:
        seen.append(inputs)
        return call(inputs, *args, **kwargs)

    layer.call = record
    try:
        yield seen
    finally:
        layer.call = call


def _measure(logs: dict[str, Any], name: str, quantizer: SmoothSign, x: tf.Tensor) -> None:
    x = tf.cast(x, "float32")
    residual = 1 - tf.abs(smooth_sign(x, quantizer.sharpness))
    logs[f"{name}_residual"] = float(tf.reduce_mean(residual))
    saturated = tf.cast(quantizer.sharpness * tf.abs(x) > SATURATION, "float32")
    logs[f"{name}_saturation"] = float(tf.reduce_mean(saturated))
