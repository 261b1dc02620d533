"""Binary layers whose gradients are also those of their latent weights."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn.techniques.latent_weights.mixed_trainer import MixedTrainer
from kbnn.techniques.latent_weights.terms import check_weight


class LatentGradientTrainer(MixedTrainer):
    r"""Trains a binary network with the gradients of its real-valued self added to its own.

    In training, a binary layer with inputs x and latent kernel W gives

    $$\mathrm{conv}(\mathrm{sign}(x), \mathrm{sign}(W)) + \lambda r - \mathrm{sg}(\lambda r), \qquad
      r = \mathrm{conv}(h(x), W / m)$$

    whose value is that of the binary layer, exactly, and whose gradient is that of both terms. m is
    the mean |W|; the gradient passes the division as it does a sign, which is what keeps that of
    both terms of one size. Biases get theirs once.

    Args:
        model: as for `LatentWeightTrainer`.
        weight: lambda, a factor or a `keras.optimizers.schedules.LearningRateSchedule` that gives
            it by the step of the optimizer.
        activation: h, as for `LatentWeightTrainer`.
        indexed: as for `Trainer`.
        name: of the trainer.

    Raises:
        TypeError: the model is subclassed, or of Keras 3.
        ValueError: a model that is not built or has no binary layer; a weight out of range.

    >>> import kbnn
    >>> trainer = kbnn.trainers.LatentGradientTrainer(kbnn.models.vgg_tiny(width=8))

    Source: kbnn's, as for `LatentMixtureTrainer`.
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
            *(model, weight, "latent_weight", self._cancel, activation),
            read_bias=tf.stop_gradient,
            with_index=with_index,
            name=name,
        )

    def _cancel(self, binary: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
        real *= self.number(real)
        return binary + (real - tf.stop_gradient(real))
