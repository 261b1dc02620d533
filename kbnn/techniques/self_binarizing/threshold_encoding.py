"""Encodes an image as signs, so that the first layer of a network can be binary too."""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn import _checks
from kbnn._larq import sign
from kbnn.graph.clone import clone


@keras.utils.register_keras_serializable(package="kbnn")
class ThresholdEncoding(keras.layers.Layer):
    r"""Compare each channel of an image with evenly spaced thresholds.

    $$y_{c n + k} = \mathrm{sign}(x_c - t_k), \qquad
      t_k = low + \frac{k + 1/2}{n} (high - low), \qquad k = 0 .. n - 1$$

    This is a thermometer code: the brighter a pixel, the more of its n signs are +1. Put the layer
    before a binary convolution, which then has binary inputs. On the device it runs as a real 1x1
    depthwise convolution whose outputs are packed into bits. The layer has no gradient with respect
    to the image.

    Args:
        levels: n, the number of thresholds per channel. Multiples of 32 fill the packed words.
        low: darkest value of a pixel; the default fits `kbnn.data.normalization_layer()`.
        high: brightest value of a pixel.

    Call arguments:
        inputs: images `(batch, height, width, channels)`.

    Returns:
        +-1, `(batch, height, width, channels * levels)`.

    Raises:
        ValueError: an argument is out of range, or the number of channels is unknown.

    Example:
        >>> import kbnn, numpy as np
        >>> pixel = np.float32([[[[0.3]]]])
        >>> kbnn.layers.ThresholdEncoding(levels=4)(pixel).numpy().ravel()
        array([ 1.,  1.,  1., -1.], dtype=float32)

    Source: kbnn. With 32 levels no threshold is equal to the value of an 8-bit pixel.
    """

    outputs_are_binary = True

    def __init__(
        self, levels: int = 32, low: float = -1.0, high: float = 1.0, **kwargs: Any
    ) -> None:
        # In half precision some pixels would round across a threshold.
        super().__init__(**{"autocast": False, **kwargs})
        self.levels = _checks.positive_int("levels", levels)
        self.low, self.high = _checks.number("low", low), _checks.number("high", high)
        if self.low >= self.high:
            raise ValueError(f"Expected `low` below `high`. Received: low={low}, high={high}")
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
        differences = tf.cast(inputs, tf.float32)[..., None] - self.thresholds
        channels = self._channels * self.levels
        shape = tf.concat([tf.shape(inputs)[:-1], [channels]], axis=0)
        signs = tf.reshape(sign(differences), shape)
        signs = tf.ensure_shape(signs, [*inputs.shape[:-1], channels])
        return tf.cast(signs, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
        shape = tf.TensorShape(input_shape).as_list()
        return tf.TensorShape([*shape[:-1], shape[-1] * self.levels])

    def frozen_layer(self) -> tuple[keras.layers.Layer, list[np.ndarray], keras.layers.Layer]:
        """Return the layers that replace this one in a frozen model, and the weights of the first.

        They are a depthwise convolution, which subtracts the thresholds, and a sign.
        """
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
