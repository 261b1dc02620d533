"""Batch normalization and sign in one layer, which compares with a threshold at inference."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn import _checks
from kbnn.graph import hooks
from kbnn.graph.clone import clone
from kbnn.graph.larq_quantizers import is_sign
from kbnn.graph.nodes import producers
from kbnn.techniques.self_binarizing.reachable_sums import reachable_sums

_INTEGERS = np.iinfo(np.int32)
# A power of two, so that 1 - epsilon + epsilon is 1 in float32.
_EPSILON = 2.0**-10
# No input reaches a threshold beyond this value, so the channel is constant.
_OUT_OF_REACH = 1e30


class Thresholds(NamedTuple):
    """What `BinaryBatchNormalization.thresholds` returns.

    Attributes:
        threshold: integers `(channels,)`.
        above: booleans `(channels,)`: whether the output is +1 at or above the threshold (True) or
            at or below it (False).
    """

    threshold: np.ndarray
    above: np.ndarray


@keras.utils.register_keras_serializable(package="kbnn")
class BinaryBatchNormalization(keras.layers.BatchNormalization):
    r"""Batch normalization and a smooth sign; at inference, a comparison with a threshold.

    In training the layer is Keras's `BatchNormalization` with a quantizer as its activation. At
    inference, with $\sigma = \sqrt{var + \epsilon}$ and $T = \mu - \beta\sigma/\gamma$, it computes

    $$y = \begin{cases} +1 & x \geq T \quad (\gamma > 0) \\
                        +1 & x \leq T \quad (\gamma < 0) \\
                        \mathrm{sign}(\beta) & \gamma = 0 \\
                        -1 & \text{otherwise} \end{cases}$$

    This is the sign of the batch normalization, without its rounding errors. The outputs are +-1,
    so the layer that takes them needs no `input_quantizer`.

    On the device, the threshold becomes part of the binary convolution before this layer, which
    then writes packed bits. `kbnn.converters.freeze` moves the threshold midway between two sums
    that the convolution can produce, so that rounding cannot change the result.

    Args:
        activation: a quantizer, or its name, whose output at inference is the sign.
        momentum, epsilon, center, scale, **kwargs: as in Keras's `BatchNormalization`. `axis` must
            be -1.

    Call arguments:
        inputs: `(batch, ..., channels)`.
        training: True normalizes with the statistics of the batch and applies the quantizer as in
            training. None and False compare.
        mask: as in Keras's `BatchNormalization`.

    Returns:
        A tensor of the shape of `inputs`; +-1 at inference.

    Raises:
        ValueError: `activation` is not a sign at inference, or `axis` is not -1.
        TypeError: `activation` is not a quantizer.

    Example:
        >>> import kbnn, numpy as np
        >>> layer = kbnn.layers.BinaryBatchNormalization(beta_initializer="ones", epsilon=0.0)
        >>> layer(np.float32([[-1.5], [-1.0], [2.0]])).numpy().ravel()
        array([-1.,  1.,  1.], dtype=float32)
        >>> layer.thresholds()
        Thresholds(threshold=array([-1]), above=array([ True]))

    Source: "Self-Binarizing Networks" (Lahoud et al., 2019, arXiv 1902.00730) for binary batch
    normalization. The four cases, the rounding and the midpoints are kbnn's.
    """

    activation_must_be_sign = True

    def __init__(self, activation: Any = "smooth_sign", **kwargs: Any) -> None:
        axis = kwargs.pop("axis", -1)
        if axis not in (-1, [-1], (-1,)):
            raise _checks.refuse("axis", "-1, the channels", axis)
        super().__init__(axis=-1, **kwargs)
        self.activation = clone(activation, f"{self.name}_activation")
        if not is_sign(self.activation):
            expected = "a quantizer that gives the sign at inference"
            raise _checks.refuse("activation", expected, activation)

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        if isinstance(self.activation, keras.layers.Layer) and not self.activation.built:
            with tf.name_scope(self.activation.name):
                self.activation.build(input_shape)

    def call(self, inputs: tf.Tensor, training: Any = None, mask: Any = None) -> tf.Tensor:
        if training is None:
            training = keras.backend.learning_phase()
        if not isinstance(training, bool | int):
            return tf.cond(
                tf.cast(training, tf.bool),
                lambda: self._normalize_and_quantize(inputs, mask),
                lambda: self._compare(inputs),
            )
        return self._normalize_and_quantize(inputs, mask) if training else self._compare(inputs)

    def normalize(self, inputs: tf.Tensor) -> tf.Tensor:
        """Normalize with the moving statistics, without the sign."""
        return super().call(inputs, training=False)

    def thresholds(self, fan_in: int | None = None) -> Thresholds:
        """Compute the integer thresholds that the layer compares with at inference.

        After a binary layer the thresholds apply to its sums of +-1, before its bias and the scale
        of its kernel, both of which are part of the thresholds.

        Args:
            fan_in: the largest sum that the layer before this one can produce. By default it is
                taken from the binary layer before this one in the model, if there is one.

        Returns:
            A named tuple `(threshold, above)`. `threshold` has an integer per channel, from
            `-(fan_in + 1)` to `fan_in + 1`; `above` says for each channel whether the output is +1
            at or above the threshold (True) or at or below it (False).

        Raises:
            ValueError: the layer is not built; or the layer before it in the model is not binary,
                so that its outputs need not be integers, and you did not give `fan_in`.
        """
        if not self.built:
            raise ValueError(
                f"Expected a layer with weights. Received: {self.name!r}, which has not been called"
            )
        if fan_in is not None:
            _checks.positive_int("fan_in", fan_in)
        threshold, above = (value.numpy() for value in self._exact_thresholds())
        sums = reachable_sums(self)
        if sums is not None:
            threshold = (threshold - sums.offset) / sums.scale
            fan_in = sums.fan_in if fan_in is None else fan_in
        elif fan_in is None and (before := _layers_before(self)):
            names = ", ".join(repr(layer.name) for layer in before)
            raise ValueError(
                "Expected a layer whose inputs are integers, such as the sums of a binary "
                f"convolution. Received: {self.name!r} after {names}. Pass `fan_in` if the inputs "
                "are integers."
            )
        limit = _INTEGERS.max if fan_in is None else fan_in + 1
        whole = np.where(above, np.ceil(threshold), np.floor(threshold))
        return Thresholds(np.clip(whole, -limit, limit).astype(np.int64), above)

    def frozen_layer(self) -> tuple[keras.layers.Layer, list[np.ndarray], keras.layers.Layer]:
        """Return the layers that replace this one in a frozen model, and the weights of the first.

        They are a batch normalization, which subtracts the threshold, and a sign.
        """
        sums = reachable_sums(self)
        if sums is None:
            threshold, above = (value.numpy() for value in self._float32_thresholds())
        else:
            threshold, above = (value.numpy() for value in self._exact_thresholds())
            threshold = sums.midpoints(threshold, above)
        gamma = np.where(above, 1.0, -1.0)
        beta = np.zeros_like(gamma)
        constant = np.abs(threshold) > _OUT_OF_REACH
        beta[constant] = np.where(above, -np.sign(threshold), np.sign(threshold))[constant]
        gamma[constant] = threshold[constant] = 0.0
        layer = keras.layers.BatchNormalization(epsilon=_EPSILON, name=self.name)
        # Its mean is a threshold, not a statistic: no recalibration may change it.
        layer.trainable = False
        weights = [gamma, beta, threshold, np.full_like(gamma, 1 - _EPSILON)]
        return (
            layer,
            [weight.astype("float32") for weight in weights],
            clone("ste_sign", f"{self.name}_sign"),
        )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("axis")
        return {**config, "activation": keras.utils.serialize_keras_object(self.activation)}

    def _normalize_and_quantize(self, inputs: tf.Tensor, mask: Any) -> tf.Tensor:
        return self.activation(super().call(inputs, training=True, mask=mask))

    def _compare(self, inputs: tf.Tensor) -> tf.Tensor:
        hooks.add_no_loss(self.activation)
        threshold, above = self._float32_thresholds()
        inputs = tf.cast(inputs, tf.float32)
        positive = tf.where(above, inputs >= threshold, inputs <= threshold)
        return tf.where(positive, tf.cast(1, self.compute_dtype), tf.cast(-1, self.compute_dtype))

    def _float32_thresholds(self) -> tuple[tf.Tensor, tf.Tensor]:
        """The thresholds in float32, rounded towards the +1 side, and whether that is above."""
        exact, above = self._exact_thresholds()
        threshold = tf.cast(exact, tf.float32)
        rounded = tf.cast(threshold, tf.float64)
        next_up = tf.math.nextafter(threshold, float("inf"))
        next_down = tf.math.nextafter(threshold, -float("inf"))
        threshold = tf.where(above & (rounded < exact), next_up, threshold)
        return tf.where(~above & (rounded > exact), next_down, threshold), above

    def _exact_thresholds(self) -> tuple[tf.Tensor, tf.Tensor]:
        """T in float64, infinite where a channel is constant, and whether +1 is above T."""
        mean = tf.cast(self.moving_mean, "float64")
        variance = tf.cast(self.moving_variance, "float64")
        gamma = tf.cast(self.gamma, "float64") if self.scale else tf.ones_like(mean)
        beta = tf.cast(self.beta, "float64") if self.center else tf.zeros_like(mean)
        is_constant = tf.equal(gamma, 0)
        divisor = tf.where(is_constant, tf.ones_like(gamma), gamma)
        threshold = mean - beta * tf.sqrt(variance + self.epsilon) / divisor
        infinity = tf.fill(tf.shape(mean), tf.constant(np.inf, "float64"))
        constant = tf.where(beta >= 0, -infinity, infinity)
        return tf.where(is_constant, constant, threshold), gamma >= 0


def _layers_before(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    return [one for one in producers(layer) if not isinstance(one, keras.layers.InputLayer)]
