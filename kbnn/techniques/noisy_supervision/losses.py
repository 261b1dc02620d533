"""A squared error to noisy labels that is unbiased: its mean is the error to the clean labels."""

from typing import Any

import tensorflow as tf

from kbnn import _checks


def unbiased_squared_error(
    prediction: Any, noisy_label: Any, rate_positive: Any, rate_negative: Any
) -> tf.Tensor:
    r"""Estimate the squared error to a clean label from a noisy label.

    The clean label $y = \pm 1$ is observed as $\tilde y$. The noise flips $y = +1$ with
    probability $\rho_{+1}$ and $y = -1$ with probability $\rho_{-1}$. With
    $\ell(q, y) = (q - y)^2$, the estimate is

    $$\tilde\ell(q, \tilde y) =
      \frac{(1 - \rho_{-\tilde y})\,\ell(q, \tilde y) - \rho_{\tilde y}\,\ell(q, -\tilde y)}
           {1 - \rho_{+1} - \rho_{-1}}
      = (q - \tilde y)^2 - \frac{4 \rho_{\tilde y}\, \tilde y\, q}{1 - \rho_{+1} - \rho_{-1}}$$

    Its mean over the noise is $\ell(q, y)$ for every `q`. Up to a constant it is the squared error
    to the stretched label $(1 + 2\rho_{\tilde y} / (1 - \rho_{+1} - \rho_{-1}))\, \tilde y$. The
    estimate can be negative; do not clip it.

    Args:
        prediction: q, a floating tensor of any shape.
        noisy_label: +1 or -1, in the shape of `prediction`.
        rate_positive: probability that the noise flips a +1, from 0 to 1.
        rate_negative: probability that the noise flips a -1. The sum of both must be below 1.

    Returns:
        The loss of each element, in the shape and type of `prediction`.

    Raises:
        TypeError: `prediction` is not of a floating type.
        ValueError: the shapes differ, or the rates are numbers out of range. Rates that are tensors
            are not checked.

    Example:
        >>> import kbnn
        >>> kbnn.losses.unbiased_squared_error([1.0, -1.0], [1.0, 1.0], 0.1, 0.1).numpy().round(3)
        array([-0.5,  4.5], dtype=float32)

    Source: "Training Binary Neural Networks through Learning with Noisy Supervision" (Han et al.,
    2020, arXiv 2010.04871), which takes the estimator from "Learning with Noisy Labels" (Natarajan
    et al., 2013).
    """
    check_rates(rate_positive, rate_negative)
    prediction = tf.convert_to_tensor(prediction)
    dtype = prediction.dtype
    if not dtype.is_floating:
        raise TypeError(f"Expected `prediction` to be of a floating type. Received: {dtype.name}")
    label = tf.cast(noisy_label, dtype)
    if not prediction.shape.is_compatible_with(label.shape):
        raise ValueError(
            f"Expected `noisy_label` in the shape of `prediction`, {prediction.shape}. "
            f"Received: {label.shape}"
        )
    # tf.cast would first round a Python number to float32.
    positive, negative = (
        tf.cast(rate, dtype) if tf.is_tensor(rate) else tf.constant(rate, dtype)
        for rate in (rate_positive, rate_negative)
    )
    correction = tf.where(label > 0, positive, negative) * label / (1 - positive - negative)
    return tf.square(prediction - label) - 4 * correction * prediction


def check_rates(rate_positive: Any, rate_negative: Any) -> None:
    """Raise ValueError unless noise rates, where they are numbers, are valid."""
    rates = {"rate_positive": rate_positive, "rate_negative": rate_negative}
    known = {name: rate for name, rate in rates.items() if not tf.is_tensor(rate)}
    for name, rate in known.items():
        _checks.share(name, rate)
    if len(known) == 2 and rate_positive + rate_negative >= 1:
        raise ValueError(
            "Expected noise rates whose sum is below 1. "
            f"Received: rate_positive={rate_positive}, rate_negative={rate_negative}"
        )
