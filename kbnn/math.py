"""The smooth sign: a pure function."""

from typing import Any

import tensorflow as tf

from kbnn._larq import sign

__all__ = ["smooth_sign"]


def smooth_sign(x: Any, sharpness: Any, *, hard_forward: Any = False) -> tf.Tensor:
    r"""Compute the smooth sign, a tanh that approaches the sign as its sharpness grows.

    $$\varphi_\nu(x) = \tanh(\nu x), \qquad
      \frac{\partial \varphi_\nu}{\partial x} = \nu \, \mathrm{sech}^2(\nu x)$$

    With $z = \nu x$, the gradient is computed as $4 \nu e^{-2|z|} / (1 + e^{-2|z|})^2$. In float32
    this form stays above 0 until |z| reaches 43, while `1 - tanh(z)**2` rounds to 0 from |z| = 10
    on. Half precision is computed in float32.

    Args:
        x: a floating tensor of any shape.
        sharpness: nu, a positive number or a scalar tensor.
        hard_forward: return sign(x), with sign(0) = +1, but keep the gradient of the tanh; a bool
            or a boolean scalar tensor.

    Returns:
        A tensor of the shape and type of `x`.

    Raises:
        TypeError: `x` is not of a floating type.

    Example:
        >>> import kbnn
        >>> kbnn.math.smooth_sign([-1.0, 0.0, 0.1], sharpness=10.0).numpy().round(3)
        array([-1.   ,  0.   ,  0.762], dtype=float32)

    Source: "Self-Binarizing Networks" (Lahoud et al., 2019, arXiv 1902.00730). The form of the
    gradient and `hard_forward` are kbnn's.
    """
    x = tf.convert_to_tensor(x)
    if not x.dtype.is_floating:
        raise TypeError(f"Expected `x` to be of a floating type. Received: {x.dtype.name}")
    wide = tf.cast(x, tf.float32) if x.dtype.size < 4 else x
    sharpness = tf.cast(tf.convert_to_tensor(sharpness, dtype_hint=wide.dtype), wide.dtype)
    return tf.cast(_tanh_or_sign(wide, sharpness, hard_forward), x.dtype)


def _slope(x: tf.Tensor, sharpness: Any) -> tf.Tensor:
    """The derivative of `tanh(sharpness * x)` with respect to x."""
    # Multiply the scalars first: every pass over a tensor of activations takes time.
    decay = tf.exp(tf.abs(x) * (-2 * sharpness))
    return decay * (4 * sharpness) / tf.square(1 + decay)


def _tanh_or_sign(x: tf.Tensor, sharpness: tf.Tensor, hard: Any) -> tf.Tensor:
    @tf.custom_gradient
    def call(x: tf.Tensor, sharpness: tf.Tensor) -> Any:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            slope = upstream * _slope(x, sharpness)
            return slope, tf.reduce_sum(slope * x) / sharpness

        if isinstance(hard, bool):
            return (sign(x) if hard else tf.tanh(sharpness * x)), gradient
        signs_or_tanh = tf.cond(hard, lambda: sign(x), lambda: tf.tanh(sharpness * x))
        return signs_or_tanh, gradient

    return call(x, sharpness)
