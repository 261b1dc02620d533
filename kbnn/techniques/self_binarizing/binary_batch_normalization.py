"""Batch normalization and sign in one, which at inference is a comparison."""

import numbers
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn.graph.clone import clone
from kbnn.graph.larq_quantizers import is_sign
from kbnn.graph.signs import producers
from kbnn.techniques.self_binarizing.reachable_sums import reachable_sums

_INTEGERS = np.iinfo(np.int32)
# A power of two, so that 1 - epsilon + epsilon is 1 in float32.
_EPSILON = 2.0**-10
# Beyond it a real threshold is out of reach, and its channel a constant.
_OUT_OF_REACH = 1e30


class Thresholds(NamedTuple):
    """The comparison that a layer is at inference, channel by channel.

    Attributes:
        threshold: integers `(channels,)`.
        above: booleans `(channels,)`: the output is +1 where the input is at least the threshold
            (True) or at most the threshold (False), and -1 elsewhere.
    """

    threshold: np.ndarray
    above: np.ndarray


@keras.utils.register_keras_serializable(package="kbnn")
class BinaryBatchNormalization(keras.layers.BatchNormalization):
    r"""Batch normalization, then a smooth sign; at inference a comparison with a threshold.

    In training it is Keras's `BatchNormalization` with a quantizer as activation. At inference,
    with $\sigma = \sqrt{var + \epsilon}$ and $T = \mu - \beta\sigma/\gamma$,

    $$y = \begin{cases} +1 & x \geq T \quad (\gamma > 0) \\
                        +1 & x \leq T \quad (\gamma < 0) \\
                        \mathrm{sign}(\beta) & \gamma = 0 \\
                        -1 & \text{otherwise} \end{cases}$$

    which is the sign of the batch normalization without its rounding. The next layer takes +-1, so
    it has `input_quantizer=None`. On the device the comparison is the threshold of the binary
    convolution before it, whose outputs are then packed bits: `kbnn.converters.freeze` puts the
    threshold midway between two sums that the convolution can give, so that no rounding decides.

    Args:
        activation: a quantizer whose forward pass at inference is the sign; `SmoothSign` by
            default.
        momentum, epsilon, center, scale, **kwargs: as those of Keras's `BatchNormalization`, whose
            moving statistics it has. The axis is the last one.

    Input and output: `(batch, ..., channels)`.

    Raises:
        ValueError: an activation that is not a sign; another axis.
        TypeError: an activation that is no quantizer.

    >>> import kbnn, numpy as np
    >>> layer = kbnn.layers.BinaryBatchNormalization(beta_initializer="ones", epsilon=0.0)
    >>> layer(np.float32([[-1.5], [-1.0], [2.0]])).numpy().ravel()
    array([-1.,  1.,  1.], dtype=float32)
    >>> layer.thresholds()
    Thresholds(threshold=array([-1]), above=array([ True]))

    Source: "Self-Binarizing Networks" (Lahoud et al., 2019), section 3 ("binary batch
    normalization"). The cases, the rounding and the midpoints are kbnn's.
    """

    activation_must_be_sign = True

    def __init__(self, activation: Any = "smooth_sign", **kwargs: Any) -> None:
        axis = kwargs.pop("axis", -1)
        if axis not in (-1, [-1], (-1,)):
            raise ValueError(f"Expected `axis` to be -1, the channels. Received: axis={axis}")
        super().__init__(axis=-1, **kwargs)
        self.activation = clone(activation, f"{self.name}_activation")
        if not is_sign(self.activation):
            raise ValueError(
                "Expected `activation` to be a quantizer that gives the sign at inference. "
                f"Received: activation={activation!r}"
            )

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
                lambda: self._smooth(inputs, mask),
                lambda: self._compared(inputs),
            )
        return self._smooth(inputs, mask) if training else self._compared(inputs)

    def normalized(self, inputs: tf.Tensor) -> tf.Tensor:
        """What stands between batch normalization and sign at inference."""
        return super().call(inputs, training=False)

    def thresholds(self, fan_in: int | None = None) -> Thresholds:
        """The comparison of integers that the layer is at inference.

        Behind a binary layer the integers are its sums of +-1, without its bias or the scale of its
        kernel, which the thresholds take in.

        Args:
            fan_in: the largest sum that the layer before it can give. By default that of the
                binary layer that stands before it in its model, if there is one.

        Returns:
            Integer thresholds, each between plus and minus `fan_in + 1`, and the directions.

        Raises:
            ValueError: the layer has no weights yet; or stands in a model behind another layer than
                a binary one, as a real stem, whose outputs are no integers, and no `fan_in` says
                that they are.
        """
        if not self.built:
            raise ValueError(
                f"Expected a layer with weights. Received: {self.name!r}, which has not been called"
            )
        is_count = isinstance(fan_in, numbers.Integral) and not isinstance(fan_in, bool)
        if fan_in is not None and (not is_count or fan_in < 1):
            raise ValueError(
                f"Expected `fan_in` to be a positive integer. Received: fan_in={fan_in!r}"
            )
        threshold, above = (value.numpy() for value in self._real_thresholds())
        sums = reachable_sums(self)
        if sums is not None:
            threshold = (threshold - sums.offset) / sums.scale
            fan_in = sums.fan_in if fan_in is None else fan_in
        elif fan_in is None and (before := _layers_before(self)):
            names = ", ".join(repr(layer.name) for layer in before)
            raise ValueError(
                "Expected a layer that takes integers, as those of a binary convolution. "
                f"Received: {self.name!r} behind {names}. Give `fan_in` if they are integers."
            )
        limit = _INTEGERS.max if fan_in is None else fan_in + 1
        whole = np.where(above, np.ceil(threshold), np.floor(threshold))
        return Thresholds(np.clip(whole, -limit, limit).astype(np.int64), above)

    def frozen_layer(self) -> tuple[keras.layers.Layer, list[np.ndarray], keras.layers.Layer]:
        """The layers that take its place in a frozen model: batch normalization and a sign."""
        sums = reachable_sums(self)
        if sums is None:
            threshold, above = (value.numpy() for value in self._limits())
        else:
            threshold, above = (value.numpy() for value in self._real_thresholds())
            threshold = sums.midpoints(threshold, above)
        gamma = np.where(above, 1.0, -1.0)
        beta = np.zeros_like(gamma)
        constant = np.abs(threshold) > _OUT_OF_REACH
        beta[constant] = np.where(above, -np.sign(threshold), np.sign(threshold))[constant]
        gamma[constant] = threshold[constant] = 0.0
        layer = keras.layers.BatchNormalization(epsilon=_EPSILON, name=self.name)
        # Its statistics are none: no recalibration may touch them.
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

    def _smooth(self, inputs: tf.Tensor, mask: Any) -> tf.Tensor:
        return self.activation(super().call(inputs, training=True, mask=mask))

    def _compared(self, inputs: tf.Tensor) -> tf.Tensor:
        add_no_loss = getattr(self.activation, "add_no_loss", None)
        if add_no_loss is not None:
            add_no_loss()
        limit, above = self._limits()
        inputs = tf.cast(inputs, tf.float32)
        positive = tf.where(above, inputs >= limit, inputs <= limit)
        return tf.where(positive, tf.cast(1, self.compute_dtype), tf.cast(-1, self.compute_dtype))

    def _limits(self) -> tuple[tf.Tensor, tf.Tensor]:
        """The last float32 numbers on the +1 side of the thresholds, and which side that is."""
        threshold, above = self._real_thresholds()
        limit = tf.cast(threshold, tf.float32)
        beyond = tf.cast(limit, tf.float64)
        up = tf.math.nextafter(limit, float("inf"))
        down = tf.math.nextafter(limit, -float("inf"))
        limit = tf.where(above & (beyond < threshold), up, limit)
        return tf.where(~above & (beyond > threshold), down, limit), above

    def _real_thresholds(self) -> tuple[tf.Tensor, tf.Tensor]:
        """T in float64, plus or minus infinity for a constant, and whether +1 lies above it."""
        mean, variance = (
            tf.cast(self.moving_mean, "float64"),
            tf.cast(self.moving_variance, "float64"),
        )
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
