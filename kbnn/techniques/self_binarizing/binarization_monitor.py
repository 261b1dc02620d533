"""Logs how binary each layer of a network is during training."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn import _checks
from kbnn.graph.hooks import base_quantizer
from kbnn.graph.larq_quantizers import (
    KERNEL_QUANTIZERS,
    latent_kernel,
    quantized_kernels,
    quantizers_of,
)
from kbnn.math import smooth_sign
from kbnn.techniques.self_binarizing.binary_batch_normalization import BinaryBatchNormalization
from kbnn.techniques.self_binarizing.smooth_sign import SmoothSign
from kbnn.training.trainer import model_of

# Where sharpness * |x| exceeds this value, the gradient is below 1e-8 of its maximum.
_SATURATION = 10.0


class BinarizationMonitor(keras.callbacks.Callback):
    """Add measures of how binary the kernels and activations are to the logs of each epoch.

    For each binary kernel:

    - `<layer>/kernel_flip_ratio`: share of weights whose sign changed during the epoch.

    For each kernel with a `SmoothSign`, also:

    - `<layer>/kernel_residual`: mean of `1 - |tanh(sharpness * w)|`; 0 for a binary kernel;
    - `<layer>/kernel_saturation`: share of weights with `sharpness * |w| > 10`, which hardly learn.

    For each `SmoothSign` on activations, if you pass `images`:

    - `<layer>/input_residual`, `<layer>/input_saturation`: the same measures of the values that the
      layer binarizes.

    "kernel" is the name of the weight, so a depthwise kernel logs "depthwise_kernel". If nested
    models repeat a name, it gets a number: "conv/kernel#2".

    Place `CSVLogger` and `TensorBoard` after this callback in the list.

    Args:
        images: a batch of images on which to measure activations, for a model with one input. They
            pass through the network as at inference. None measures no activations.

    Raises:
        TypeError: `images` is not an array.
        ValueError: in `fit`, if the model has no binary kernel, or the images do not fit it.

    Example:
        >>> import kbnn
        >>> monitor = kbnn.callbacks.BinarizationMonitor()   # for fit(..., callbacks=[monitor])

    Source: kbnn.
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
        if not dict(self._iterate_signs()):
            raise ValueError(
                "Expected a model with a kernel that is quantized to one bit. "
                f"Received: model={self.model.name!r} without one"
            )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # Not in `on_train_begin`, after which `BackupAndRestore` may load other weights.
        self._signs = dict(self._iterate_signs())

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is None:
            return
        for name, signs in self._iterate_signs():
            logs[f"{name}_flip_ratio"] = float(np.mean(signs != self._signs[name]))
        for name, (layer, argument) in self._kernels.items():
            quantizer = quantizers_of(layer)[argument]
            if isinstance(quantizer, SmoothSign):
                _log_binarization(logs, name, quantizer, latent_kernel(layer, argument))
        if self._images is not None:
            self._log_inputs(logs)

    def _iterate_signs(self) -> Iterator[tuple[str, np.ndarray]]:
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
                "Expected a model of one input to measure activations on `images`. "
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

    def _log_inputs(self, logs: dict[str, Any]) -> None:
        smooth_signs = [
            (layer, base_quantizer(quantizer))
            for layer in self._layers
            for argument, quantizer in quantizers_of(layer).items()
            if isinstance(base_quantizer(quantizer), SmoothSign)
            and argument not in KERNEL_QUANTIZERS
        ]
        with contextlib.ExitStack() as stack:
            # At inference binary batch normalization compares and does not call its quantizer.
            recorded = [
                stack.enter_context(_record_inputs(layer if _is_comparison(layer) else quantizer))
                for layer, quantizer in smooth_signs
            ]
            self.model(self._images, training=False)
        names: list[str] = []
        for (layer, quantizer), tensors in zip(smooth_signs, recorded, strict=True):
            # A layer that the model uses several times is measured over the inputs of all uses.
            values = map(layer.normalize, tensors) if _is_comparison(layer) else tensors
            names.append(layer.name)
            number = names.count(layer.name)
            name = f"{layer.name}/input" if number == 1 else f"{layer.name}/input#{number}"
            all_values = tf.concat([tf.reshape(x, [-1]) for x in values], 0)
            _log_binarization(logs, name, quantizer, all_values)


def _is_comparison(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, BinaryBatchNormalization)


@contextlib.contextmanager
def _record_inputs(layer: keras.layers.Layer) -> Iterator[list[tf.Tensor]]:
    """Collect the inputs of every call of a layer."""
    inputs_of_calls: list[tf.Tensor] = []
    call = layer.call

    @functools.wraps(call)
    def record(inputs: tf.Tensor, *args: Any, **kwargs: Any) -> tf.Tensor:
        inputs_of_calls.append(inputs)
        return call(inputs, *args, **kwargs)

    layer.call = record
    try:
        yield inputs_of_calls
    finally:
        layer.call = call


def _log_binarization(logs: dict[str, Any], name: str, quantizer: SmoothSign, x: tf.Tensor) -> None:
    x = tf.cast(x, "float32")
    residual = 1 - tf.abs(smooth_sign(x, quantizer.sharpness))
    logs[f"{name}_residual"] = float(tf.reduce_mean(residual))
    saturated = tf.cast(quantizer.sharpness * tf.abs(x) > _SATURATION, "float32")
    logs[f"{name}_saturation"] = float(tf.reduce_mean(saturated))
