"""Losses on noisy labels that are, in the mean over the noise, those on the clean ones."""

import math
import numbers
from typing import Any

import tensorflow as tf


def unbiased_squared_error(
    prediction: Any, noisy_label: Any, rate_positive: Any, rate_negative: Any
) -> tf.Tensor:
    r"""The squared error to a clean label, estimated from a noisy one.

    A clean label $y = \pm 1$ is seen as $\tilde y$, which is $-y$ with probability $\rho_{+1}$
    where $y = +1$ and $\rho_{-1}$ where $y = -1$. With $\ell(q, y) = (q - y)^2$

    $$\tilde\ell(q, \tilde y) =
      \frac{(1 - \rho_{-\tilde y})\,\ell(q, \tilde y) - \rho_{\tilde y}\,\ell(q, -\tilde y)}
           {1 - \rho_{+1} - \rho_{-1}}
      = (q - \tilde y)^2 - \frac{4 \rho_{\tilde y}\, \tilde y\, q}{1 - \rho_{+1} - \rho_{-1}}$$

    has the mean $\ell(q, y)$ over the noise, for every `q`. Up to a constant it is the squared
    error to a stretched label, $(1 + 2\rho_{\tilde y} / (1 - \rho_{+1} - \rho_{-1}))\, \tilde y$.
    It may be negative, and must not be clipped.

    Args:
        prediction: q, a real tensor of any shape.
        noisy_label: +1 or -1, of the same shape.
        rate_positive: the probability that a +1 is seen as -1, from 0 to 1.
        rate_negative: the probability that a -1 is seen as +1; the two together less than 1.

    Returns:
        The loss of each element, of the shape and type of `prediction`.

    Raises:
        TypeError: a prediction of integers.
        ValueError: a rate out of range (where the two are numbers), or labels of another shape.

    >>> import kbnn
    >>> kbnn.losses.unbiased_squared_error([1.0, -1.0], [1.0, 1.0], 0.1, 0.1).numpy().round(3)
    array([-0.5,  4.5], dtype=float32)

    Sources: "Learning with Noisy Supervision" (LNS) for its use on binary weights; the estimator is
    that of "Learning with Noisy Labels" (Natarajan et al., 2013), lemma 1.
    """
    prediction, label, correction = _parts(prediction, noisy_label, rate_positive, rate_negative)
    return tf.square(prediction - label) - 4 * correction * prediction


def check_rates(rate_positive: Any, rate_negative: Any) -> None:
    """Raise ValueError unless noise rates, where they are numbers, leave a label its meaning."""
    rates = {"rate_positive": rate_positive, "rate_negative": rate_negative}
    numbers_alone = {name: rate for name, rate in rates.items() if not tf.is_tensor(rate)}
    for name, rate in numbers_alone.items():
        if not isinstance(rate, numbers.Real) or not math.isfinite(rate) or rate < 0:
            raise ValueError(
                f"Expected `{name}` to be a probability, not negative. Received: {name}={rate!r}"
            )
    if len(numbers_alone) == 2 and rate_positive + rate_negative >= 1:
        raise ValueError(
            "Expected noise rates whose sum is below 1. "
            f"Received: rate_positive={rate_positive}, rate_negative={rate_negative}"
        )


def _parts(
    prediction: Any, noisy_label: Any, rate_positive: Any, rate_negative: Any
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Prediction, label, and the label times its rate over what the rates leave."""
    check_rates(rate_positive, rate_negative)
    prediction = tf.convert_to_tensor(prediction)
    if not prediction.dtype.is_floating:
        raise TypeError(
            f"Expected `prediction` to be of a floating type. Received: {prediction.dtype.name}"
        )
    label = tf.cast(noisy_label, prediction.dtype)
    if not prediction.shape.is_compatible_with(label.shape):
        raise ValueError(
            f"Expected `noisy_label` in the shape of `prediction`, {prediction.shape}. "
            f"Received: {label.shape}"
        )
    positive, negative = (_as(prediction.dtype, rate) for rate in (rate_positive, rate_negative))
    rate = tf.where(label > 0, positive, negative)
    return prediction, label, rate * label / (1 - positive - negative)


def _as(dtype: tf.DType, rate: Any) -> tf.Tensor:
    # tf.cast takes a Python number for float32 first.
    return tf.cast(rate, dtype) if tf.is_tensor(rate) else tf.constant(rate, dtype)
