"""Kernels whose signs a network learns, with their own signs as noisy labels."""

import math
import numbers
from typing import Any

import larq as lq
import tensorflow as tf
import tf_keras as keras

from kbnn.techniques.noisy_supervision.filter_mapping import MAPPINGS, FilterMapping
from kbnn.techniques.noisy_supervision.losses import check_rates, unbiased_squared_error

REDUCTIONS = ("mean", "sum")
LOSS_ON = ("soft", "hard")
STARTS = ("residual", "random")


# Larq's loader of `.h5` files and its layers look quantizers up by these bare names.
@lq.utils.register_alias("learned_sign")
@lq.utils.register_alias("LearnedSign")
@keras.utils.register_keras_serializable(package="kbnn")
class LearnedSign(lq.quantizers.Quantizer):
    r"""A kernel quantizer that learns the signs of whole filters.

    A mapping $f_\theta$, one for each layer, takes the latent filters $W$ to a prediction $p$; the
    layer convolves with the signs of the prediction, not with those of the latent weights, which
    serve as noisy labels in an auxiliary loss:

    $$p = W + s\,\sigma f_\theta(W / \sigma), \qquad Q = \mathrm{sign}(p), \qquad
      L = L_{task} + \alpha \sum_{layers} \tilde\ell\big(\tanh(p / \sigma), \mathrm{sign}(W)\big)$$

    with $\tilde\ell$ of `kbnn.losses.unbiased_squared_error` and $\sigma$ the standard deviation of
    the layer's latent weights, through which no gradient goes. The gradient passes $Q$ straight
    through to the prediction, and so reaches $\theta$ and $W$. With `start="residual"` the last
    convolution of the mapping begins at 0, and so $p = W$: put by `kbnn.requantize` on a trained
    network whose kernels are the signs of its latent weights, the first step computes exactly what
    the network did. (The other weights of the mapping move from the second step on.) The factor $s$
    says how fast predictions leave the latent weights. A network whose own mappings have learned
    goes on with them, if `mapping`, `start` and (of the residual start) `residual_scale` are the
    same; under another quantizer it goes on with their predictions $p$ as latent weights.

    `kbnn.converters.freeze` leaves plain +-1 kernels; of the mapping nothing ships.

    The last axis of a kernel counts its filters, the one before its input channels. A depthwise
    kernel is one filter of all channels to the mapping; a transposed convolution's has the two axes
    the other way round. A layer that is used twice in a model has its auxiliary loss twice.

    Args:
        noise_rate: the assumed share of weights whose best sign is not that of the latent weight;
            or a pair, (for those whose best sign is +1, for those whose is -1). 0 is the plain
            squared error.
        weight: alpha, of the auxiliary loss.
        reduction: of the auxiliary loss over a layer's weights: "mean", so that one `weight` serves
            layers of all sizes, or "sum".
        loss_on: what the auxiliary loss takes: "soft", tanh(p / sigma), or "hard", Q.
        mapping: "full", "depthwise" or "bottleneck": three 3x3 convolutions with 72 c^2 weights for
            c input channels, their depthwise separable form with 8 c^2, or one 3x3 between two 1x1
            with c^2. Filters of one position, as those of dense layers, have 1x1 in their place
            ("full": 8 c^2 weights, 134 million for 4,096 inputs; take the bottleneck).
        start: "residual", or "random": $p = \sigma f_\theta(W / \sigma)$ with no convolution at 0,
            which forgets what a trained network has learned.
        residual_scale: the factor s of the residual start; greater than 0.
        clip_value: weights whose |p| is larger get no gradient through Q; None for no limit. As
            Larq's `SteSign` has it: with 1.0 and a `weight_clip` constraint hardly any.

    Input and output: a kernel, `(height, width, channels, filters)` or `(channels, units)`.

    Raises:
        ValueError: an argument out of range; a kernel of another rank, or of one filter of one
            position, of which batch normalization leaves nothing; a second kernel of another shape.
            (That several kernels of one shape share a quantizer does not show here. They share
            a mapping then, and the saved model cannot be loaded: give each its own, by name, by
            `kbnn.quantizers.clone`, or by `kbnn.requantize`.)

    >>> import kbnn
    >>> signs = {"kernel_quantizer": kbnn.quantizers.LearnedSign(noise_rate=0.1)}
    >>> model = kbnn.models.vgg_tiny(width=8, **signs)

    Source: "Learning with Noisy Supervision" (LNS): mapping, auxiliary loss, and the signs of the
    prediction in the convolution. kbnn's: the residual start and its factor, the normalization
    by sigma, the tanh, `weight` and its default, `reduction`, `clip_value`, the mappings other than
    "full".
    """

    precision = 1

    def __init__(
        self,
        noise_rate: Any = 0.1,
        weight: float = 0.01,
        reduction: str = "mean",
        loss_on: str = "soft",
        mapping: str = "full",
        start: str = "residual",
        residual_scale: float = 0.1,
        clip_value: float | None = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        is_pair = isinstance(noise_rate, tuple | list)
        rates = tuple(noise_rate) if is_pair else (noise_rate, noise_rate)
        numeric = (isinstance(rate, numbers.Real) and not isinstance(rate, bool) for rate in rates)
        if len(rates) != 2 or not all(numeric):
            raise ValueError(
                f"Expected `noise_rate` to be a number or a pair. Received: noise_rate={noise_rate}"
            )
        check_rates(*rates)
        _check_number("weight", weight, least=0)
        _check_number("residual_scale", residual_scale, least=0)
        if residual_scale == 0:
            raise ValueError(
                "Expected `residual_scale` greater than 0, at which the mapping does nothing. "
                f"Received: {residual_scale!r}"
            )
        if clip_value is not None:
            _check_number("clip_value", clip_value, least=0)
        for name, value, valid in [
            ("reduction", reduction, REDUCTIONS),
            ("loss_on", loss_on, LOSS_ON),
            ("mapping", mapping, MAPPINGS),
            ("start", start, STARTS),
        ]:
            if value not in valid:
                raise ValueError(
                    f"Expected `{name}` to be one of {', '.join(valid)}. Received: {name}={value!r}"
                )
        self.noise_rate = tuple(map(float, rates))
        self.weight = float(weight)
        self.reduction = reduction
        self.loss_on = loss_on
        self.mapping = mapping
        self.start = start
        self.residual_scale = float(residual_scale)
        self.clip_value = None if clip_value is None else float(clip_value)

    def build(self, input_shape: Any) -> None:
        self.check_kernel(input_shape)
        self._kernel_shape = tuple(input_shape)
        *positions, channels, filters = self._kernel_shape
        is_residual = self.start == "residual"
        self._network = FilterMapping(self.mapping, zero=is_residual, name="mapping")
        self._network.build((filters, *(positions or (1, 1)), channels))
        super().build(input_shape)

    @staticmethod
    def check_kernel(shape: Any) -> None:
        """Raise ValueError for a kernel that no mapping takes."""
        shape = tuple(shape)
        if len(shape) not in (2, 4) or None in shape:
            raise ValueError(
                "Expected a LearnedSign on a kernel (height, width, channels, filters) or "
                f"(channels, units). Received: a shape {shape}"
            )
        if math.prod(shape) == shape[-2]:
            raise ValueError(
                "Expected a kernel of several filters or positions for a LearnedSign, whose "
                f"mapping normalizes over both. Received: a shape {shape}"
            )

    def carry_to(self, successor: Any, kernel: tf.Tensor, new_kernel: tf.Variable) -> None:
        """Carry the learned signs over to the quantizer that replaces this one.

        Args:
            successor: the new quantizer, or None. Another `LearnedSign` of the same form takes the
                mapping; for any other quantizer the latent kernel becomes the mapping's output.
            kernel: the latent kernel that this quantizer quantizes.
            new_kernel: the latent kernel that the successor quantizes.
        """
        if isinstance(successor, LearnedSign) and successor._has_form_of(self):
            successor.set_weights(self.get_weights())
        else:
            new_kernel.assign(tf.cast(self.prediction(kernel), new_kernel.dtype))

    def _has_form_of(self, other: "LearnedSign") -> bool:
        """Whether this mapping can take the weights of another one."""
        if (self.mapping, self.start) != (other.mapping, other.start):
            return False
        return self.start == "random" or self.residual_scale == other.residual_scale

    def call(self, inputs: tf.Tensor, training: Any = None) -> tf.Tensor:
        self._check_own(inputs)
        prediction, scale = self._predict(inputs)
        signs = self._signs(prediction)
        # On every call, or Keras takes the loss of a graph that is gone.
        in_training = tf.cast(False if training is None else training, tf.float32)
        loss = tf.zeros([])
        if self.weight > 0 and (tf.is_tensor(training) or training):
            loss = in_training * self.weight * self._loss(inputs, prediction, scale, signs)
        self.add_loss(loss)
        return tf.cast(signs, inputs.dtype)

    def prediction(self, kernel: Any) -> tf.Tensor:
        """The mapping's output p for a latent kernel, of the kernel's shape, in float32."""
        return self._predict(self._read(kernel))[0]

    def auxiliary_loss(self, kernel: Any) -> tf.Tensor:
        """The loss that training adds for a latent kernel, without its weight: a scalar."""
        kernel = self._read(kernel)
        prediction, scale = self._predict(kernel)
        return self._loss(kernel, prediction, scale, self._signs(prediction))

    def _read(self, kernel: Any) -> tf.Tensor:
        """A kernel as a layer hands it over: in mixed precision rounded."""
        kernel = tf.convert_to_tensor(kernel)
        if not self.built:
            raise ValueError(
                "Expected a LearnedSign that a layer has built with its kernel. Received: none yet"
            )
        self._check_own(kernel)
        return tf.cast(kernel, self.compute_dtype)

    def _check_own(self, kernel: tf.Tensor) -> None:
        if tuple(kernel.shape) != tuple(self._kernel_shape):
            raise ValueError(
                f"Expected the kernel that this LearnedSign began with, {self._kernel_shape}; "
                "another one needs one of its own (kbnn.quantizers.clone). "
                f"Received: a shape {tuple(kernel.shape)}"
            )

    def _predict(self, kernel: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        kernel = tf.cast(kernel, tf.float32)
        deviation = tf.stop_gradient(tf.math.reduce_std(kernel))
        # Of a constant kernel there is none.
        scale = tf.where(deviation > 1e-8, deviation, 1.0)
        mapped = _as_kernel(self._network(_as_batch(kernel / scale)), kernel.shape)
        if self.start == "random":
            return scale * mapped, scale
        return kernel + self.residual_scale * scale * mapped, scale

    def _signs(self, prediction: tf.Tensor) -> tf.Tensor:
        return lq.quantizers.ste_sign(prediction, self.clip_value)

    def _loss(
        self, kernel: tf.Tensor, prediction: tf.Tensor, scale: tf.Tensor, signs: tf.Tensor
    ) -> tf.Tensor:
        labels = tf.stop_gradient(lq.math.sign(tf.cast(kernel, tf.float32)))
        taken = signs if self.loss_on == "hard" else tf.tanh(prediction / scale)
        losses = unbiased_squared_error(taken, labels, *self.noise_rate)
        return tf.reduce_mean(losses) if self.reduction == "mean" else tf.reduce_sum(losses)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "noise_rate": list(self.noise_rate),
            "weight": self.weight,
            "reduction": self.reduction,
            "loss_on": self.loss_on,
            "mapping": self.mapping,
            "start": self.start,
            "residual_scale": self.residual_scale,
            "clip_value": self.clip_value,
        }


def _as_batch(kernel: tf.Tensor) -> tf.Tensor:
    """A kernel as a batch of filters, `(filters, height, width, channels)`."""
    if kernel.shape.rank == 2:
        kernel = kernel[None, None]
    return tf.transpose(kernel, [3, 0, 1, 2])


def _as_kernel(filters: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
    """The inverse of `_as_batch`."""
    return tf.reshape(tf.transpose(filters, [1, 2, 3, 0]), shape)


def _check_number(name: str, value: Any, least: float) -> None:
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < least:
        raise ValueError(f"Expected `{name}` to be a number from {least} on. Received: {value!r}")
