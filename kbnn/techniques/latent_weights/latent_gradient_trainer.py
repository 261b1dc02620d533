"""A trainer that adds the gradient of the latent weights to each binary layer."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn.techniques.latent_weights.latent_branch_trainer import LatentBranchTrainer
from kbnn.techniques.latent_weights.terms import check_weight


class LatentGradientTrainer(LatentBranchTrainer):
    r"""Trains a binary network, and adds the gradients of its real-valued layers.

    In training, a binary layer with inputs x and latent kernel W computes

    $$\mathrm{conv}(\mathrm{sign}(x), \mathrm{sign}(W)) + \lambda r - \mathrm{sg}(\lambda r), \qquad
      r = \mathrm{conv}(h(x), W / m)$$

    Its value is the value of the binary layer, exactly, and its gradient is the sum of the
    gradients of both terms. m is the mean |W|. The gradient ignores the division by m, so that both
    gradients have about the same size. Biases get their gradient once.

    Args:
        model: A built functional or Sequential model with Larq's binary layers, without masks and
            without losses or metrics of its tensors.
        weight: lambda, a number of at least 0 or a
            `keras.optimizers.schedules.LearningRateSchedule` that returns it for a step of the
            optimizer. The logs have its mean as `latent_weight`.
        activation: h, "hard_tanh" or an activation of Keras.
        with_index: As for `Trainer`.
        name: The name of the trainer.

    Raises:
        TypeError: The model is subclassed or belongs to Keras 3.
        ValueError: The model is not built or has no quantized kernel, or the weight is out of
            range.

    Example:
        >>> import kbnn
        >>> trainer = kbnn.trainers.LatentGradientTrainer(kbnn.models.vgg_tiny(width=8))

    Source: kbnn's, after the abstract of LW (kbnn/techniques/latent_weights/README.md).
    """

    def __init__(
        self,
        model: keras.Model,
        weight: Any = 1.0,
        *,
        activation: Any = "hard_tanh",
        with_index: bool = False,
        name: str | None = None,
    ) -> None:
        check_weight(weight)
        super().__init__(
            *(model, weight, "latent_weight", self._add_gradient, activation),
            transform_bias=tf.stop_gradient,
            with_index=with_index,
            name=name,
        )

    def _add_gradient(self, binary: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
        real *= self.factor(real)
        return binary + (real - tf.stop_gradient(real))
