"""A trainer whose binary layers start as real-valued ones."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn.techniques.latent_weights.latent_branch_trainer import LatentBranchTrainer


class LatentMixtureTrainer(LatentBranchTrainer):
    r"""Trains a binary network whose layers are mixed with real-valued layers.

    In training, a binary layer with inputs x and latent kernel W computes

    $$a\, \mathrm{conv}(\mathrm{sign}(x), \mathrm{sign}(W))
      + (1 - a)\, \mathrm{conv}(h(x), W / m)$$

    where the share a goes to 1. m is the mean |W|. The gradient ignores the division by m, so that
    both terms have about the same values and gradients. If the sign of x is a separate layer, the
    second term takes the signs too. All weights and statistics are the model's.

    In validation the network is binary, so its accuracy says little before a is 1. The logs have
    the mean of a as `binary_share`.

    Args:
        model: A built functional or Sequential model with Larq's binary layers, without masks and
            without losses or metrics of its tensors.
        binary_share: a, a `keras.optimizers.schedules.LearningRateSchedule` that returns it for a
            step of the optimizer. `PolynomialDecay(0.0, steps, 1.0)` is linear. Train some epochs
            at 1.
        activation: h, "hard_tanh" or an activation of Keras.
        with_index: As for `Trainer`.
        name: The name of the trainer.

    Raises:
        TypeError: The model is subclassed or belongs to Keras 3, or `binary_share` is not a
            schedule.
        ValueError: The model is not built or has no quantized kernel.

    Example:
        >>> import kbnn, tf_keras as keras
        >>> share = keras.optimizers.schedules.PolynomialDecay(0.0, 1000, 1.0)
        >>> trainer = kbnn.trainers.LatentMixtureTrainer(kbnn.models.vgg_tiny(width=8), share)

    Source: kbnn's, after the abstract of LW (kbnn/techniques/latent_weights/README.md). It says
    that the authors tried several ways to use the latent weights, and not which.
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
        share = self.factor(binary)
        return share * binary + (1 - share) * real
