"""An image as signs, so that a network's first layer can be binary too."""

import math
import numbers
from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn.graph.clone import clone


@keras.utils.register_keras_serializable(package="kbnn")
class ThresholdEncoding(keras.layers.Layer):
    r"""Compare each channel of an image with evenly spaced thresholds.

    $$y_{c n + k} = \mathrm{sign}(x_c - t_k), \qquad
      t_k = low + \frac{k + 1/2}{n} (high - low), \qquad k = 0 .. n - 1$$

    A "thermometer": the brighter a pixel, the more of its n signs are +1. A binary convolution
    behind it has binary inputs, and on the device a real 1x1 depthwise convolution and a packing
    take the place of the real stem. Images have no gradient, so it has none.

    Args:
        levels: n, thresholds per channel; multiples of 32 pack without waste.
        low: the darkest value of a pixel; by default that of `kbnn.data.normalization_layer()`.
        high: the brightest one.

    Input: `(batch, height, width, channels)`. Output: the same with `channels * levels`.

    Raises:
        ValueError: an argument out of range.

    >>> import kbnn, numpy as np
    >>> pixel = np.float32([[[[0.3]]]])
    >>> kbnn.layers.ThresholdEncoding(levels=4)(pixel).numpy().ravel()
    array([ 1.,  1.,  1., -1.], dtype=float32)

    kbnn's own: "Self-Binarizing Networks" (Lahoud et al., 2019) leaves open how the image becomes
    binary. With 32 levels no threshold is a pixel of 8 bits.
    """

    outputs_are_binary = True

    def __init__(
        self, levels: int = 32, low: float = -1.0, high: float = 1.0, **kwargs: Any
    ) -> None:
        # In half precision pixels would fall on the other side of thresholds.
        super().__init__(**{"autocast": False, **kwargs})
        is_count = isinstance(levels, numbers.Integral) and not isinstance(levels, bool)
        if not is_count or levels < 1:
            raise ValueError(
                f"Expected `levels` to be a positive integer. Received: levels={levels}"
            )
        ends = (low, high)
        numeric = all(isinstance(end, numbers.Real) and math.isfinite(end) for end in ends)
        if not numeric or low >= high:
            raise ValueError(
                f"Expected numbers with `low` below `high`. Received: low={low}, high={high}"
            )
        self.levels, self.low, self.high = int(levels), float(low), float(high)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape: Any) -> None:
        self._channels = input_shape[-1]
        if self._channels is None:
            raise ValueError(
                f"Expected images whose number of channels is known. Received: {input_shape}"
            )
        super().build(input_shape)

    @property
    def thresholds(self) -> np.ndarray:
        """The thresholds, `(levels,)`, float32."""
        steps = (np.arange(self.levels) + 0.5) / self.levels
        return (self.low + steps * (self.high - self.low)).astype("float32")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        wide = tf.cast(inputs, tf.float32)[..., None] - self.thresholds
        channels = self._channels * self.levels
        shape = tf.concat([tf.shape(inputs)[:-1], [channels]], axis=0)
        signs = tf.reshape(lq.math.sign(wide), shape)
        signs = tf.ensure_shape(signs, [*inputs.shape[:-1], channels])
        return tf.cast(signs, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
        shape = tf.TensorShape(input_shape).as_list()
        return tf.TensorShape([*shape[:-1], shape[-1] * self.levels])

    def frozen_layer(self) -> tuple[keras.layers.Layer, list[np.ndarray], keras.layers.Layer]:
        """The layers that take its place in a frozen model: a subtraction and a sign."""
        layer = keras.layers.DepthwiseConv2D(1, depth_multiplier=self.levels, name=self.name)
        weights = [
            np.ones((1, 1, self._channels, self.levels), "float32"),
            np.tile(-self.thresholds, self._channels),
        ]
        return layer, weights, clone("ste_sign", f"{self.name}_sign")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "levels": self.levels,
            "low": self.low,
            "high": self.high,
        }
