"""The small network that maps whole filters to filters of the same shape."""

import math
from typing import Any

import tensorflow as tf
import tf_keras as keras

MAPPINGS = ("full", "bottleneck", "depthwise")

# The bottleneck divides the number of channels by this.
_NARROWING = 4
_EPSILON = 1e-3
_STAGES = 3


class FilterMapping(keras.layers.Layer):
    """Map filters through three convolutions, with batch normalization and ReLU between them.

    The filters of a layer are the batch, and their c input channels are the channels:
    `c -> 2c -> 2c -> c`. Batch normalization always uses the statistics of the given filters, in
    training and at inference, so the result depends on the filters and the weights only. Everything
    is computed in float32.

    Args:
        kind: of the convolutions.
            "full": 3x3; 72 c^2 weights.
            "depthwise": a depthwise 3x3 and a 1x1 convolution in place of each; 8 c^2 + 45 c
            weights.
            "bottleneck": 1x1 down to a quarter of the channels, 3x3, and 1x1 up; 1.0625 c^2
            weights.
            For 1x1 filters, every 3x3 convolution is 1x1.
        zero: start the last convolution at 0, so that all outputs are 0 at first.

    Call arguments:
        inputs: `(filters, height, width, channels)`.

    Returns:
        A tensor of the shape of `inputs`.

    Source: "Training Binary Neural Networks through Learning with Noisy Supervision" (Han et al.,
    2020, arXiv 2010.04871) for "full". The other two are kbnn's.
    """

    def __init__(self, kind: str = "full", zero: bool = False, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self._kind = kind
        self._zero = zero

    def build(self, input_shape: Any) -> None:
        _, height, width, channels = input_shape
        size = 1 if height == width == 1 else 3
        stages = _kernel_shapes(self._kind, size, channels)
        # One attribute for each weight: a SavedModel does not keep the order of lists.
        for i, stage in enumerate(stages):
            for part, shape in stage.items():
                name = f"{part}_{i}"
                is_last = i == _STAGES - 1 and part == "kernel"
                initializer = "zeros" if self._zero and is_last else _he_uniform(part, shape)
                setattr(self, name, self.add_weight(name, shape, initializer=initializer))
        for i, stage in enumerate(stages[:-1]):
            shape = (stage["kernel"][-1],)
            for part, value in (("gamma", "ones"), ("beta", "zeros")):
                name = f"{part}_{i}"
                setattr(self, name, self.add_weight(name, shape, initializer=value))
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        x = self._convolve(inputs, 0)
        for i in range(1, _STAGES):
            mean, variance = tf.nn.moments(x, [0, 1, 2])
            beta, gamma = getattr(self, f"beta_{i - 1}"), getattr(self, f"gamma_{i - 1}")
            x = tf.nn.batch_normalization(x, mean, variance, beta, gamma, _EPSILON)
            x = self._convolve(tf.nn.relu(x), i)
        return x

    def _convolve(self, x: tf.Tensor, stage: int) -> tf.Tensor:
        if self._kind == "depthwise":
            kernel = getattr(self, f"depthwise_kernel_{stage}")
            x = tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "SAME")
        return tf.nn.conv2d(x, getattr(self, f"kernel_{stage}"), 1, "SAME")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kind": self._kind, "zero": self._zero}


def _he_uniform(part: str, shape: tuple[int, ...]) -> Any:
    """He's initializer, which Keras's class computes wrongly for depthwise kernels."""
    if part == "kernel":
        return "he_uniform"
    # An output of a depthwise kernel has the inputs of one channel, not of all.
    limit = math.sqrt(6 / math.prod(shape[:2]))
    return keras.initializers.RandomUniform(-limit, limit)


def _kernel_shapes(kind: str, size: int, channels: int) -> list[dict[str, tuple[int, ...]]]:
    """The shapes of the kernels in each of the three stages, by name."""
    if kind == "bottleneck":
        narrow = max(1, channels // _NARROWING)
        return [
            {"kernel": (1, 1, channels, narrow)},
            {"kernel": (size, size, narrow, narrow)},
            {"kernel": (1, 1, narrow, channels)},
        ]
    wide = 2 * channels
    widths = [(channels, wide), (wide, wide), (wide, channels)]
    if kind == "full":
        return [{"kernel": (size, size, *width)} for width in widths]
    return [
        {"depthwise_kernel": (size, size, width[0], 1), "kernel": (1, 1, *width)}
        for width in widths
    ]
