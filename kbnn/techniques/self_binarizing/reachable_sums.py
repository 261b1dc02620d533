"""The few values that a binary layer can output, and thresholds between them."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn._larq import QuantConv1D, QuantConv2D, QuantConv3D, QuantDense, quantized_scope
from kbnn.graph.nodes import producers
from kbnn.graph.signs import inputs_are_binary

_BINARY_LAYERS = (
    QuantConv1D,
    QuantConv2D,
    QuantConv3D,
    QuantDense,
)
# At inference each output of these layers is one of their inputs of the same channel.
_SELECTING_LAYERS = (
    keras.layers.Dropout,
    keras.layers.GlobalMaxPooling1D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.GlobalMaxPooling3D,
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.MaxPooling3D,
)


class ReachableSums(NamedTuple):
    """The values that a binary layer can output.

    They are `scale * s + offset` in each channel, for s from `-fan_in` to `fan_in` in steps.

    Attributes:
        fan_in: number of products in a sum.
        step: 2, or 1 where some products may be zero.
        scale: scale of the kernel, `(channels,)`, positive.
        offset: bias of the layer, `(channels,)`.
    """

    fan_in: int
    step: int
    scale: np.ndarray
    offset: np.ndarray

    def midpoints(self, threshold: np.ndarray, above: np.ndarray) -> np.ndarray:
        """Move thresholds midway between two neighbouring sums.

        A comparison of any reachable sum with the result gives what its comparison with the given
        threshold gives. The sums are those in float32, because the layer adds its bias in float32.

        Args:
            threshold: T, `(channels,)`; may be infinite.
            above: `(channels,)`: whether sums of at least T (True) or at most T (False) become +1.

        Returns:
            Thresholds `(channels,)`. If all sums of a channel become +1, or all -1, the threshold
            is half a step beyond the first or the last sum.
        """
        sums = np.arange(-self.fan_in, self.fan_in + 1, self.step)
        positions = np.array(
            [
                np.searchsorted(
                    (sums * np.float32(scale)).astype("float32") + np.float32(offset),
                    limit,
                    side="left" if is_above else "right",
                )
                for scale, offset, limit, is_above in zip(
                    self.scale, self.offset, threshold, above, strict=True
                )
            ]
        )
        middle = self.step * (positions - 0.5) - self.fan_in
        return self.scale * middle + self.offset


def reachable_sums(layer: keras.layers.Layer) -> ReachableSums | None:
    """Find the values that the inputs of a layer can have.

    Args:
        layer: a layer in a model.

    Returns:
        The sums of the binary layer before this one; None if there is no such layer.
    """
    found = producers(layer)
    if len(found) != 1:
        return None
    (producer,) = found
    if isinstance(producer, _SELECTING_LAYERS):
        return reachable_sums(producer)
    if not isinstance(producer, _BINARY_LAYERS) or isinstance(
        producer, keras.layers.Conv2DTranspose | keras.layers.Conv3DTranspose
    ):
        return None
    is_linear = getattr(producer, "activation", None) in (None, keras.activations.linear)
    quantizer = producer.kernel_quantizer
    if (
        not is_linear
        or getattr(quantizer, "precision", None) != 1
        or not inputs_are_binary(producer)
    ):
        return None
    with quantized_scope(True):
        kernel = np.abs(tf.cast(tf.convert_to_tensor(producer.kernel), "float64"))
    kernel = kernel.reshape(-1, kernel.shape[-1])
    if not (kernel > 0).all() or np.ptp(kernel, axis=0).max() > 0:
        return None
    offset = producer.bias.numpy().astype("float64") if producer.use_bias else 0 * kernel[0]
    return ReachableSums(len(kernel), 1 if _pads_with_zeros(producer) else 2, kernel[0], offset)


def _pads_with_zeros(layer: Any) -> bool:
    return getattr(layer, "padding", "valid") != "valid" and not getattr(layer, "pad_values", 0.0)
