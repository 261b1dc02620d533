"""Binary layers that begin as real-valued ones, and end as themselves."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn.techniques.latent_weights.mixed_trainer import MixedTrainer


class LatentMixtureTrainer(MixedTrainer):
    r"""Trains a binary network whose layers are mixed with their real-valued selves.

    In training, a binary layer with inputs x and latent kernel W gives

    $$a\, \mathrm{conv}(\mathrm{sign}(x), \mathrm{sign}(W))
      + (1 - a)\, \mathrm{conv}(h(x), W / m)$$

    where the share a goes to 1. m is the mean |W|; the gradient passes the division as it does a
    sign, which is what keeps values and gradients of both terms of one size. Where the sign of x is
    a layer of its own, the second term takes the signs too. In validation the network is binary, so
    its accuracy says little before a is 1; the logs have the mean of a as `binary_share`. All
    weights and statistics are the model's own.

    Args:
        model: as for `LatentWeightTrainer`.
        binary_share: a, by the step of the optimizer: a
            `keras.optimizers.schedules.LearningRateSchedule`, as
            `PolynomialDecay(0.0, steps, 1.0)`, which is linear. Leave some epochs at 1.
        activation: h, as for `LatentWeightTrainer`.
        indexed: as for `Trainer`.
        name: of the trainer.

    Raises:
        TypeError: the model is subclassed, or of Keras 3; another kind of schedule.
        ValueError: a model that is not built or has no binary layer.

    >>> import kbnn, tf_keras as keras
    >>> share = keras.optimizers.schedules.PolynomialDecay(0.0, 1000, 1.0)
    >>> trainer = kbnn.trainers.LatentMixtureTrainer(kbnn.models.vgg_tiny(width=8), share)

    Source: kbnn's, after the abstract of "Fully Utilizing Latent Weights" (LW), by whose account
    its authors tried several ways to use latent weights, and do not say which.
    """

    def __init__(
        self,
        model: keras.Model,
        binary_share: keras.optimizers.schedules.LearningRateSchedule,
        *,
        activation: Any = "hard_tanh",
        with_index: bool = False,
        name: str | None = None,
    ) -> None:
        if not isinstance(binary_share, keras.optimizers.schedules.LearningRateSchedule):
            raise TypeError(
                "Expected `binary_share` to be a LearningRateSchedule of Keras 2. "
                f"Received: binary_share={binary_share!r}"
            )
        super().__init__(
            *(model, binary_share, "binary_share", self._mix, activation),
            with_index=with_index,
            name=name,
        )

    def _mix(self, binary: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
        share = self.number(binary)
        return share * binary + (1 - share) * real
