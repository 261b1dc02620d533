"""A tanh that training sharpens into the sign."""

import numbers
from typing import Any

import larq as lq
import tensorflow as tf
import tf_keras as keras

from kbnn.math import smooth_sign

_LARGEST = 1e30


# Larq's loader of `.h5` files and its layers look quantizers up by these bare names.
@lq.utils.register_alias("smooth_sign")
@lq.utils.register_alias("SmoothSign")
@keras.utils.register_keras_serializable(package="kbnn")
class SmoothSign(lq.quantizers.Quantizer):
    r"""Self-binarizing: `tanh(sharpness * x)` in training, the sign everywhere else.

    $$q(x) = \begin{cases} \tanh(\nu x) & \text{in training} \\
                           +1 & x \geq 0 \\ -1 & x < 0 \end{cases}$$

    Gradients are those of the tanh, without a straight-through estimator. The sharpness is a weight
    that is saved and not trained; `kbnn.callbacks.SharpnessSchedule` raises it during `fit`.
    Validation and `predict` run with hard signs: they show the network that ships.
    `kbnn.converters.freeze` turns it into Larq's `ste_sign`.

    Args:
        sharpness: nu at the start, positive.
        hard_forward: give the sign in training too, under the gradient of the tanh: a surrogate
            gradient for other methods. `SharpnessSchedule` can switch it on for a last phase.

    Attributes:
        sharpness: the variable, a scalar.
        hard_forward: the variable, 1.0 or 0.0.

    Input and output: a tensor of any shape.

    Larq's layers share a quantizer that is given to several of them, or twice to one, and with it
    its sharpness: give each its own (`kbnn.quantizers.clone`). The builders of `kbnn.models` and
    `kbnn.requantize` do.

    Raises:
        ValueError: a sharpness that is not a positive number; a `hard_forward` that is no bool.

    >>> import kbnn, numpy as np
    >>> quantizer = kbnn.quantizers.SmoothSign(sharpness=10.0)
    >>> quantizer(np.float32([-1.0, 0.0, 0.1]), training=True).numpy().round(3)
    array([-1.   ,  0.   ,  0.762], dtype=float32)
    >>> quantizer(np.float32([-1.0, 0.0, 0.1])).numpy()
    array([-1.,  1.,  1.], dtype=float32)

    Source: "Self-Binarizing Networks" (Lahoud et al., 2019), section 3. `hard_forward` and the
    numerical form of the gradient (`kbnn.math.smooth_sign`) are kbnn's.
    """

    precision = 1

    def __init__(self, sharpness: float = 1.0, hard_forward: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_sharpness("sharpness", sharpness)
        if not isinstance(hard_forward, bool):
            raise ValueError(
                "Expected `hard_forward` to be True or False. "
                f"Received: hard_forward={hard_forward!r}"
            )
        self._initial = {"sharpness": float(sharpness), "hard_forward": hard_forward}
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        for name, value in self._initial.items():
            # Callbacks assign the same value on every replica; no step changes it.
            variable = self.add_weight(
                name,
                shape=(),
                dtype="float32",
                initializer=keras.initializers.Constant(float(value)),
                trainable=False,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )
            setattr(self, name, variable)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: Any = None) -> tf.Tensor:
        is_hard: Any = self.hard_forward > 0
        if training is None or isinstance(training, bool | int):
            is_hard = is_hard if training else True
        else:
            is_hard = tf.logical_or(is_hard, tf.logical_not(tf.cast(training, tf.bool)))
        return smooth_sign(inputs, self.sharpness, hard_forward=is_hard)

    def frozen_quantizer(self) -> lq.quantizers.Quantizer:
        """The quantizer that takes its place in a frozen model."""
        return lq.quantizers.SteSign(name=self.name, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._initial}


def check_sharpness(name: str, value: Any) -> None:
    """Raise ValueError unless a value can be a sharpness."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    # Not `0 < value`: NaN. An infinite one makes NaN of 0.
    if not is_number or not 0 < value <= _LARGEST:
        raise ValueError(
            f"Expected `{name}` to be a positive number, at most {_LARGEST:g}. "
            f"Received: {name}={value!r}"
        )
