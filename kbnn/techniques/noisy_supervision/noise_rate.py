"""How many binary weights have the wrong sign, by trying the other one."""

import dataclasses
import math
import numbers
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn.graph.freeze import freeze
from kbnn.graph.larq_quantizers import KERNEL_QUANTIZERS, quantized_kernels, quantizers_of
from kbnn.graph.rewrite import gives_probabilities

# Of a 95 % interval.
_QUANTILE = 1.96


@dataclasses.dataclass(frozen=True)
class NoiseRate:
    """The share of a kernel's binary weights whose flip lowers the loss.

    Attributes:
        kernel: its name, as "conv_1/kernel"; one that a nested model has again gets a number.
        rate: share among the weights that were tried.
        low: lower end of its 95 % confidence interval (Wilson's), for the layer on these data.
        high: upper end.
        rate_positive: the share of -1 among the weights for which +1 is better; None if there were
            none.
        rate_negative: the share of +1 among those for which -1 is better.
        tried: number of weights.
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
    """Estimate how many of a trained network's signs are wrong, to report beside a `noise_rate`.

    In each layer some weights, chosen at random, are flipped one at a time; where the loss on the
    images falls, the sign was wrong. Nothing is set by it. It sees each weight alone, with all
    others as they are, and a weight that hardly matters counts as one that does: on few images
    rates come near 0.5, which says that single weights do not show there, and is no `noise_rate`
    for a `LearnedSign`, whose pair must stay below 1 in sum. Flipped are the binary weights of
    `kbnn.converters.freeze`: of a network that has learned its signs with a `LearnedSign`, those of
    its mappings, not those of its latent weights.

    Args:
        model: a trained network of one input.
        images: `(count, height, width, channels)`, of the type that the model takes. Those that it
            was trained on tell how well training chose; others, what is noise for the task.
        labels: for the loss, `(count, ...)`.
        loss: a Keras loss of labels and the model's outputs, or its name; by default the cross
            entropy with class numbers, of logits or probabilities as the model gives them.
        samples: number of weights to try in each layer; all of a layer that has fewer.
        seed: of the choice.

    Returns:
        A row for each binary kernel. The cost is a pass over all images, in one batch, for each
        weight that is tried.

    Raises:
        ValueError: the model has no binary kernel, or several inputs; images and labels do not fit
            it or each other; or the loss is not finite.

    >>> import kbnn, numpy as np
    >>> model = kbnn.models.vgg_tiny(width=8)
    >>> images, labels = np.zeros((4, 28, 28, 1), "f"), np.zeros(4)
    >>> rows = kbnn.techniques.estimate_noise_rate(model, images, labels, samples=2)
    >>> [row.kernel for row in rows]
    ['conv_1/kernel', 'conv_2/kernel', 'conv_3/kernel']

    kbnn's own: the paper (LNS) sets the rate by hand.
    """
    if len(images) != len(labels) or not len(images):
        raise ValueError(
            "Expected as many labels as images, one or more. "
            f"Received: {len(images)} images, {len(labels)} labels"
        )
    if not isinstance(samples, numbers.Integral) or isinstance(samples, bool) or samples < 1:
        raise ValueError(f"Expected `samples` to be a positive integer. Received: {samples!r}")
    frozen = freeze(model)
    _check_images(frozen, images)
    measure = _loss_of(frozen, tf.constant(images), tf.constant(labels), _loss(model, loss))
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
    return [_rate(name, kernel, measure, samples, rng) for name, kernel in kernels]


def _check_images(model: keras.Model, images: Any) -> None:
    if len(model.inputs) != 1:
        raise ValueError(
            f"Expected a model of one input. Received: model={model.name!r} with "
            f"{len(model.inputs)} inputs"
        )
    (expected,) = model.inputs
    received = tf.convert_to_tensor(images[:1])
    # Numbers of another kind would be cast: 0.7 to 0.
    same_kind = received.dtype.is_floating == expected.dtype.is_floating
    if not same_kind or not expected.shape[1:].is_compatible_with(received.shape[1:]):
        raise ValueError(
            f"Expected images of {expected.dtype.name} in the shape {expected.shape}. "
            f"Received: {received.dtype.name} in (?, {', '.join(map(str, received.shape[1:]))})"
        )


def _check_classes(model: keras.Model, labels: Any) -> None:
    # One for an image, or one for each position.
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


def _loss(model: keras.Model, loss: Any) -> Any:
    if loss is None:
        from_logits = not gives_probabilities(model)
        return keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    return keras.losses.get(loss)


def _loss_of(model: keras.Model, images: tf.Tensor, labels: tf.Tensor, loss: Any) -> Any:
    @tf.function
    def measure() -> tf.Tensor:
        return tf.reduce_mean(loss(labels, model(images, training=False)))

    return measure


def _rate(
    name: str, kernel: tf.Variable, measure: Any, samples: int, rng: np.random.Generator
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
    low, high = _interval(rate, len(tried))
    positive, negative = (
        float(wrong[best == sign].mean()) if (best == sign).any() else None for sign in (1, -1)
    )
    return NoiseRate(name, rate, low, high, positive, negative, len(tried))


def _interval(rate: float, count: int) -> tuple[float, float]:
    """Wilson's interval for a share of a count."""
    square = _QUANTILE**2 / count
    middle = (rate + square / 2) / (1 + square)
    half = math.sqrt(rate * (1 - rate) * square + square**2 / 4) / (1 + square)
    return middle - half, middle + half
