"""Estimates how many binary weights have the wrong sign, by flipping them one at a time."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn import _checks
from kbnn.graph.freeze import freeze
from kbnn.graph.larq_quantizers import KERNEL_QUANTIZERS, quantized_kernels, quantizers_of
from kbnn.graph.output_activation import gives_probabilities

# Standard errors on each side of a 95 % interval.
_QUANTILE = 1.96


class NoiseRate(NamedTuple):
    """One row that `estimate_noise_rate` returns.

    Attributes:
        kernel: name of the kernel, as "conv_1/kernel". If nested models repeat a name, it gets a
            number: "conv/kernel#2".
        rate: share of the tried weights whose flip lowers the loss.
        low: lower end of the 95 % confidence interval (Wilson) of `rate`, for this layer and these
            images.
        high: upper end of the interval.
        rate_positive: share of -1 among the weights for which +1 is better; None if there are none.
        rate_negative: share of +1 among the weights for which -1 is better; None if there are none.
        tried: number of weights tried.
    """

    kernel: str
    rate: float
    low: float
    high: float
    rate_positive: float | None
    rate_negative: float | None
    tried: int


def estimate_noise_rate(
    model: keras.Model,
    images: Any,
    labels: Any,
    *,
    loss: Any = None,
    samples: int = 200,
    seed: int = 0,
) -> list[NoiseRate]:
    """Estimate the share of wrong signs in each binary kernel of a trained network.

    In each kernel, randomly chosen weights are flipped one at a time. If the loss on the images
    falls, the sign was wrong. Use the result to judge a `noise_rate`; it sets nothing.

    A flip is tried while all other weights keep their values, and a weight that hardly matters
    counts like any other. On few images the rates therefore approach 0.5. Such a rate says that
    single weights do not show on these images; it is no `noise_rate` for a `LearnedSign`, whose
    two rates must stay below 1 in sum.

    The flips act on the binary weights of `kbnn.converters.freeze`. For a network with
    `LearnedSign` quantizers these are the signs that its mappings learned.

    Args:
        model: a trained network with one input.
        images: `(count, height, width, channels)`, of the type that the model takes. Training
            images show how well the training chose its signs; other images show what is noise for
            the task.
        labels: labels for the loss, `(count, ...)`.
        loss: a Keras loss of the labels and the model's outputs, or its name. By default it is the
            cross entropy with class numbers, of logits or probabilities as the model outputs them.
        samples: number of weights to try in each kernel; a smaller kernel is tried in full.
        seed: seed of the random choice.

    Returns:
        A list with a named tuple for each binary kernel: `(kernel, rate, low, high, rate_positive,
        rate_negative, tried)`. `rate` is the share of tried weights with a wrong sign, `low` and
        `high` its 95 % confidence interval; `rate_positive` and `rate_negative` are the shares
        among the weights for which +1 or -1 is better, or None. Each tried weight costs a pass over
        all images, in one batch.

    Raises:
        ValueError: the model has no binary kernel, or several inputs; images and labels do not fit
            the model or each other; or the loss is not finite.

    Example:
        >>> import kbnn, numpy as np
        >>> model = kbnn.models.vgg_tiny(width=8)
        >>> images, labels = np.zeros((4, 28, 28, 1), "f"), np.zeros(4)
        >>> rows = kbnn.techniques.estimate_noise_rate(model, images, labels, samples=2)
        >>> [row.kernel for row in rows]
        ['conv_1/kernel', 'conv_2/kernel', 'conv_3/kernel']

    Source: kbnn. The paper sets the rate by hand.
    """
    if len(images) != len(labels) or not len(images):
        raise ValueError(
            "Expected as many labels as images, one or more. "
            f"Received: {len(images)} images, {len(labels)} labels"
        )
    _checks.positive_int("samples", samples)
    frozen = freeze(model)
    _check_images(frozen, images)
    resolved = _resolve_loss(model, loss)
    measure = _loss_function(frozen, tf.constant(images), tf.constant(labels), resolved)
    rng = np.random.default_rng(seed)
    kernels = [
        (name, getattr(layer, KERNEL_QUANTIZERS[argument]))
        for name, (layer, argument) in quantized_kernels(frozen).items()
        if quantizers_of(layer)[argument].precision == 1
    ]
    if not kernels:
        raise ValueError(
            "Expected a model with a kernel that is quantized to one bit. "
            f"Received: model={model.name!r} without one"
        )
    if loss is None:
        _check_classes(frozen, labels)
    if not math.isfinite(float(measure())):
        raise ValueError(f"Expected a finite loss. Received: {float(measure())}")
    return [_estimate(name, kernel, measure, samples, rng) for name, kernel in kernels]


def _check_images(model: keras.Model, images: Any) -> None:
    if len(model.inputs) != 1:
        raise ValueError(
            f"Expected a model of one input. Received: model={model.name!r} with "
            f"{len(model.inputs)} inputs"
        )
    (expected,) = model.inputs
    received = tf.convert_to_tensor(images[:1])
    # Keras would cast numbers of another kind, 0.7 to 0.
    same_kind = received.dtype.is_floating == expected.dtype.is_floating
    if not same_kind or not expected.shape[1:].is_compatible_with(received.shape[1:]):
        raise ValueError(
            f"Expected images of {expected.dtype.name} in the shape {expected.shape}. "
            f"Received: {received.dtype.name} in (?, {', '.join(map(str, received.shape[1:]))})"
        )


def _check_classes(model: keras.Model, labels: Any) -> None:
    # A label for each image, or one for each position.
    *positions, classes = model.outputs[0].shape[1:]
    labels = np.asarray(labels)
    shapes = [tf.TensorShape([len(labels), *positions, *one]) for one in ([], [1])]
    fits = any(shape.is_compatible_with(labels.shape) for shape in shapes)
    if labels.dtype.kind not in "iuf" or not fits:
        raise ValueError(
            f"Expected class numbers in the shape {shapes[0]}, or a `loss` that takes other "
            f"labels. Received: {labels.dtype} in the shape {labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"Expected class numbers from 0 to {classes - 1}. "
            f"Received: {labels.min()} to {labels.max()}"
        )


def _resolve_loss(model: keras.Model, loss: Any) -> Any:
    if loss is None:
        from_logits = not gives_probabilities(model)
        return keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    return keras.losses.get(loss)


def _loss_function(
    model: keras.Model, images: tf.Tensor, labels: tf.Tensor, loss: Any
) -> Callable[[], tf.Tensor]:
    """A function that computes the mean loss with the model's present weights."""

    @tf.function
    def measure() -> tf.Tensor:
        return tf.reduce_mean(loss(labels, model(images, training=False)))

    return measure


def _estimate(
    name: str,
    kernel: tf.Variable,
    measure: Callable[[], tf.Tensor],
    samples: int,
    rng: np.random.Generator,
) -> NoiseRate:
    values = kernel.numpy()
    before = float(measure())
    tried = rng.choice(values.size, min(samples, values.size), replace=False)
    labels = np.sign(values.flat[tried])
    wrong = np.zeros(len(tried), bool)
    for i, position in enumerate(tried):
        flipped = values.copy()
        flipped.flat[position] *= -1
        kernel.assign(flipped)
        wrong[i] = float(measure()) < before
    kernel.assign(values)
    best = np.where(wrong, -labels, labels)
    rate = float(wrong.mean())
    low, high = _wilson_interval(rate, len(tried))
    positive, negative = (
        float(wrong[best == sign].mean()) if (best == sign).any() else None for sign in (1, -1)
    )
    return NoiseRate(name, rate, low, high, positive, negative, len(tried))


def _wilson_interval(rate: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    square = _QUANTILE**2 / count
    middle = (rate + square / 2) / (1 + square)
    half = math.sqrt(rate * (1 - rate) * square + square**2 / 4) / (1 + square)
    return middle - half, middle + half
