"""A tanh that training sharpens into the sign."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn import _checks
from kbnn._larq import Quantizer, SteSign, register_alias
from kbnn.math import smooth_sign

# An infinite sharpness would turn 0 into NaN.
_LARGEST = 1e30


# Larq's loader of `.h5` files and its layers look quantizers up by these bare names.
@register_alias("smooth_sign")
@register_alias("SmoothSign")
@keras.utils.register_keras_serializable(package="kbnn")
class SmoothSign(Quantizer):
    r"""A sign whose gradient is that of a tanh; in training it can be the tanh itself.

    $$q(x) = \begin{cases} \tanh(\nu x) & \text{in training, unless the forward pass is hard} \\
                           +1 & x \geq 0 \\ -1 & x < 0 \end{cases}, \qquad
      \frac{\partial q}{\partial x} := \nu \, \mathrm{sech}^2(\nu x)$$

    Two techniques use it:

    - With `hard_forward=False`, the gradient is the derivative of what the forward pass computes.
      This is the smooth form of self-binarizing networks (`kbnn.techniques.SelfBinarizing`).
    - With `hard_forward=True`, it is a straight-through estimator: the forward pass is the sign,
      the gradient is the tanh's (`kbnn.techniques.TanhSurrogate`).

    The sharpness is saved with the model and is not trained: `kbnn.callbacks.SharpnessSchedule`
    raises it during `fit`, and can make the forward pass hard. Validation and `predict` run with
    hard signs, so they show the network that ships. In a frozen model the quantizer becomes Larq's
    `ste_sign`.

    Larq's layers share the quantizer object that you pass to them, and then also its sharpness. To
    give each layer its own, copy it with `kbnn.quantizers.clone`; the builders of `kbnn.models` and
    `kbnn.requantize` do this for you.

    Args:
        sharpness: nu at the start, a positive number.
        hard_forward: return the sign in training too, with the gradient of the tanh.
            `SharpnessSchedule` can switch it on during the training.

    Call arguments:
        inputs: a floating tensor of any shape.
        training: True for the tanh. None and False give the sign.

    Returns:
        A tensor of the shape and type of `inputs`.

    Raises:
        ValueError: `sharpness` is not a positive number, or `hard_forward` is not a bool.

    Attributes:
        sharpness: nu as a variable, a scalar; assign to it in your own training loop.
        hard_forward: 1.0 or 0.0 as a variable, a scalar.

    Example:
        >>> import kbnn, numpy as np
        >>> quantizer = kbnn.quantizers.SmoothSign(sharpness=10.0)
        >>> quantizer(np.float32([-1.0, 0.0, 0.1]), training=True).numpy().round(3)
        array([-1.   ,  0.   ,  0.762], dtype=float32)
        >>> quantizer(np.float32([-1.0, 0.0, 0.1])).numpy()
        array([-1.,  1.,  1.], dtype=float32)

    Source: "Self-Binarizing Networks" (Lahoud et al., 2019, arXiv 1902.00730) for the tanh that
    becomes sharp. `hard_forward` and the numerical form of the gradient (`kbnn.math.smooth_sign`)
    are kbnn's.
    """

    precision = 1

    def __init__(self, sharpness: float = 1.0, hard_forward: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_sharpness("sharpness", sharpness)
        _checks.boolean("hard_forward", hard_forward)
        self._initial = {"sharpness": float(sharpness), "hard_forward": hard_forward}
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        for name, value in self._initial.items():
            # Callbacks assign the same value on every replica, and no training step changes it.
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

    def frozen_quantizer(self) -> Quantizer:
        """Return the Larq quantizer that replaces this one in a frozen model."""
        return SteSign(name=self.name, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._initial}


def check_sharpness(name: str, value: Any) -> None:
    """Raise ValueError unless a value can be a sharpness."""
    _checks.number(name, value, above=0, most=_LARGEST)
