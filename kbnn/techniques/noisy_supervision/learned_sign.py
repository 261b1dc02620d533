"""A kernel quantizer that learns the signs, with the signs of the weights as noisy labels."""

import math
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn import _checks
from kbnn._larq import Quantizer, register_alias, sign, ste_sign
from kbnn.techniques.noisy_supervision.filter_mapping import MAPPINGS, FilterMapping
from kbnn.techniques.noisy_supervision.losses import check_rates, unbiased_squared_error

REDUCTIONS = ("mean", "sum")
LOSS_ON = ("soft", "hard")
STARTS = ("residual", "random")


# Larq's loader of `.h5` files and its layers look quantizers up by these bare names.
@register_alias("learned_sign")
@register_alias("LearnedSign")
@keras.utils.register_keras_serializable(package="kbnn")
class LearnedSign(Quantizer):
    r"""Learn the signs of whole filters, instead of taking the sign of each weight.

    A mapping network $f_\theta$, one for each layer, computes a prediction $p$ from the latent
    weights $W$. The layer convolves with $Q$, the signs of the prediction. The signs of $W$ serve
    as noisy labels in an auxiliary loss:

    $$p = W + s\,\sigma f_\theta(W / \sigma), \qquad Q = \mathrm{sign}(p), \qquad
      L = L_{task} + \alpha \sum_{layers} \tilde\ell\big(\tanh(p / \sigma), \mathrm{sign}(W)\big)$$

    $\tilde\ell$ is `kbnn.losses.unbiased_squared_error`; $\sigma$ is the standard deviation of the
    layer's latent weights, and no gradient passes through it. The gradient passes $Q$ straight
    through to $p$, and so reaches $\theta$ and $W$.

    Use it with `kbnn.requantize` on a trained network whose kernels are the signs of its latent
    weights. With `start="residual"` the last convolution of the mapping starts at 0, so $p = W$ and
    the first step computes exactly what the trained network did. `kbnn.converters.freeze` keeps
    only the signs: the mapping does not ship.

    If you change the quantizer of a network that has learned signs: another `LearnedSign` keeps the
    mappings, if its `mapping`, `start` and (for the residual start) `residual_scale` are the same.
    Otherwise the predictions $p$ become the latent weights.

    The last axis of a kernel counts its filters, the axis before it their input channels. A
    depthwise kernel is one filter with all channels to the mapping; in a transposed convolution the
    two axes are swapped. A layer that a model uses twice adds its auxiliary loss twice.

    Args:
        noise_rate: the assumed share of weights for which the sign of the latent weight is wrong; a
            number, or a pair (share among the weights that should be +1, share among those that
            should be -1). 0 makes the auxiliary loss a plain squared error.
        weight: alpha, the weight of the auxiliary loss.
        reduction: reduction of the auxiliary loss over a layer's weights: "mean", so that one
            `weight` suits layers of all sizes, or "sum".
        loss_on: input of the auxiliary loss: "soft" for tanh(p / sigma), "hard" for Q.
        mapping: "full", "depthwise" or "bottleneck". With c input channels, "full" has three 3x3
            convolutions with 72 c^2 weights, "depthwise" their depthwise separable form with
            about 8 c^2, and "bottleneck" a 3x3 convolution between two 1x1 with about c^2. For 1x1
            and dense kernels every 3x3 convolution is 1x1: "full" then has 8 c^2 weights, which is
            134 million for 4,096 inputs, so take "bottleneck" there.
        start: "residual", or "random" for $p = \sigma f_\theta(W / \sigma)$ with random weights,
            which forgets what a trained network has learned.
        residual_scale: s, how fast predictions move away from the latent weights; above 0.
        clip_value: weights with |p| above this value get no gradient through Q, as in Larq's
            `SteSign`; None for no limit. With 1.0 and a `weight_clip` constraint this affects
            hardly any weight.

    Call arguments:
        inputs: a kernel, `(height, width, channels, filters)` or `(channels, units)`.
        training: True adds the auxiliary loss; None and False add 0.

    Returns:
        Q: +-1 in the shape and type of `inputs`.

    Raises:
        ValueError: an argument is out of range; the kernel has another rank, or a single 1x1
            filter, which cannot be normalized; or a second kernel has another shape. (Kernels of
            the same shape that share one `LearnedSign` raise no error here, but share a mapping,
            and the saved model cannot be loaded. Pass the name "learned_sign", or copy the
            quantizer with `kbnn.quantizers.clone`.)

    Example:
        >>> import kbnn
        >>> signs = {"kernel_quantizer": kbnn.quantizers.LearnedSign(noise_rate=0.1)}
        >>> model = kbnn.models.vgg_tiny(width=8, **signs)

    Source: "Training Binary Neural Networks through Learning with Noisy Supervision" (Han et al.,
    2020, arXiv 2010.04871) for the mapping, the convolution with its signs, and the auxiliary loss.
    kbnn's: the residual start and its scale, the division by sigma, the tanh, the default of
    `weight`, `reduction="mean"`, `clip_value`, and the mappings other than "full".
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
        if len(rates) != 2 or not all(map(_checks.is_number, rates)):
            raise _checks.refuse("noise_rate", "a number or a pair of numbers", noise_rate)
        check_rates(*rates)
        self.noise_rate = tuple(map(float, rates))
        self.weight = _checks.number("weight", weight, least=0)
        self.reduction = _checks.one_of("reduction", reduction, REDUCTIONS)
        self.loss_on = _checks.one_of("loss_on", loss_on, LOSS_ON)
        self.mapping = _checks.one_of("mapping", mapping, MAPPINGS)
        self.start = _checks.one_of("start", start, STARTS)
        # At 0 the mapping would have no effect.
        self.residual_scale = _checks.number("residual_scale", residual_scale, above=0)
        self.clip_value = clip_value
        if clip_value is not None:
            self.clip_value = _checks.number("clip_value", clip_value, least=0)

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
        """Raise ValueError for a kernel of a shape that a mapping cannot handle."""
        shape = tuple(shape)
        if len(shape) not in (2, 4) or None in shape:
            raise ValueError(
                "Expected a LearnedSign on a kernel (height, width, channels, filters) or "
                f"(channels, units). Received: a shape {shape}"
            )
        if math.prod(shape) == shape[-2]:
            raise ValueError(
                "Expected a LearnedSign on a kernel with several filters or positions, because "
                f"its mapping normalizes over them. Received: a shape {shape}"
            )

    def carry_to(self, successor: Any, kernel: tf.Tensor, new_kernel: tf.Variable) -> None:
        """Carry the learned signs over to the quantizer that replaces this one.

        Args:
            successor: the new quantizer, or None. A `LearnedSign` whose mapping has the same form
                gets the mapping; otherwise the prediction becomes the new latent kernel.
            kernel: the latent kernel of this quantizer.
            new_kernel: the latent kernel of the successor, which is assigned to.
        """
        if isinstance(successor, LearnedSign) and successor._mapping_fits(self):
            successor.set_weights(self.get_weights())
        else:
            new_kernel.assign(tf.cast(self.prediction(kernel), new_kernel.dtype))

    def _mapping_fits(self, other: "LearnedSign") -> bool:
        """Whether the mapping of another `LearnedSign` works in this one."""
        if (self.mapping, self.start) != (other.mapping, other.start):
            return False
        return self.start == "random" or self.residual_scale == other.residual_scale

    def call(self, inputs: tf.Tensor, training: Any = None) -> tf.Tensor:
        self._check_shape(inputs)
        prediction, scale = self._predict(inputs)
        signs = self._binarize(prediction)
        # Add a loss on every call, or Keras keeps the loss of an earlier graph.
        in_training = tf.cast(False if training is None else training, tf.float32)
        loss = tf.zeros([])
        if self.weight > 0 and (tf.is_tensor(training) or training):
            loss = in_training * self.weight * self._loss(inputs, prediction, scale, signs)
        self.add_loss(loss)
        return tf.cast(signs, inputs.dtype)

    def prediction(self, kernel: Any) -> tf.Tensor:
        """Compute p, the output of the mapping.

        Args:
            kernel: the latent kernel, in the shape that the quantizer was built with.

        Returns:
            A float32 tensor of the shape of `kernel`.
        """
        return self._predict(self._as_layer_reads(kernel))[0]

    def auxiliary_loss(self, kernel: Any) -> tf.Tensor:
        """Compute the auxiliary loss, without its weight.

        Args:
            kernel: the latent kernel, in the shape that the quantizer was built with.

        Returns:
            A float32 scalar.
        """
        kernel = self._as_layer_reads(kernel)
        prediction, scale = self._predict(kernel)
        return self._loss(kernel, prediction, scale, self._binarize(prediction))

    def _as_layer_reads(self, kernel: Any) -> tf.Tensor:
        """The kernel as its layer passes it on: rounded, in mixed precision."""
        kernel = tf.convert_to_tensor(kernel)
        if not self.built:
            raise ValueError(
                "Expected a LearnedSign that a layer has built with its kernel. "
                f"Received: {self.name!r}, not built"
            )
        self._check_shape(kernel)
        return tf.cast(kernel, self.compute_dtype)

    def _check_shape(self, kernel: tf.Tensor) -> None:
        if tuple(kernel.shape) != tuple(self._kernel_shape):
            raise ValueError(
                f"Expected the kernel that this LearnedSign was built with, {self._kernel_shape}. "
                f"Received: a shape {tuple(kernel.shape)}. Give each kernel a separate LearnedSign "
                "(kbnn.quantizers.clone)."
            )

    def _predict(self, kernel: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        kernel = tf.cast(kernel, tf.float32)
        deviation = tf.stop_gradient(tf.math.reduce_std(kernel))
        # A constant kernel has no deviation to divide by.
        scale = tf.where(deviation > 1e-8, deviation, 1.0)
        mapped = _filters_to_kernel(self._network(_kernel_to_filters(kernel / scale)), kernel.shape)
        if self.start == "random":
            return scale * mapped, scale
        return kernel + self.residual_scale * scale * mapped, scale

    def _binarize(self, prediction: tf.Tensor) -> tf.Tensor:
        return ste_sign(prediction, self.clip_value)

    def _loss(
        self, kernel: tf.Tensor, prediction: tf.Tensor, scale: tf.Tensor, signs: tf.Tensor
    ) -> tf.Tensor:
        labels = tf.stop_gradient(sign(tf.cast(kernel, tf.float32)))
        outputs = signs if self.loss_on == "hard" else tf.tanh(prediction / scale)
        losses = unbiased_squared_error(outputs, labels, *self.noise_rate)
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


def _kernel_to_filters(kernel: tf.Tensor) -> tf.Tensor:
    """Arrange a kernel as a batch of filters, `(filters, height, width, channels)`."""
    if kernel.shape.rank == 2:
        kernel = kernel[None, None]
    return tf.transpose(kernel, [3, 0, 1, 2])


def _filters_to_kernel(filters: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
    """Invert `_kernel_to_filters`."""
    return tf.reshape(tf.transpose(filters, [1, 2, 3, 0]), shape)
