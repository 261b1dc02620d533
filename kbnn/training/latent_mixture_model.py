"""Binary layers that begin as real-valued ones, and end as themselves."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn.training.latent_path import activation_of
from kbnn.training.mixed_network import MixedLayer, mixed_network
from kbnn.training.trainer import Means, Trainer


class LatentMixtureModel(Trainer):
    r"""Trains a binary network whose layers are mixed with their real-valued selves.

    In training, a binary layer with inputs x and latent kernel W gives

    $$a\, \mathrm{conv}(\mathrm{sign}(x), \mathrm{sign}(W))
      + (1 - a)\, s\, \mathrm{conv}(h(x), W)$$

    where the share a goes to 1, and s, the inverse of the mean |W|, through which no gradient goes,
    brings the two to one size. Where the sign of x is a layer of its own, the second term takes the
    signs too. In validation the network is binary, so its accuracy says little before a is 1; the
    logs have the mean of a as `binary_share`. All weights and statistics are the model's own.

    Args:
        model: as for `LatentWeightModel`.
        binary_share: a, by the step of the optimizer: a
            `keras.optimizers.schedules.LearningRateSchedule`, as
            `PolynomialDecay(0.0, steps, 1.0)`, which is linear. Leave some epochs at 1.
        activation: h, as for `LatentWeightModel`.
        indexed: as for `Trainer`.
        name: of the trainer.

    Raises:
        TypeError: the model is subclassed, or of Keras 3; another kind of schedule.
        ValueError: a model that is not built or has no binary layer.

    >>> import kbnn, tf_keras as keras
    >>> share = keras.optimizers.schedules.PolynomialDecay(0.0, 1000, 1.0)
    >>> trainer = kbnn.training.LatentMixtureModel(kbnn.models.vgg_tiny(width=8), share)

    Source: kbnn's, after the abstract of "Fully Utilizing Latent Weights" (LW), by whose account
    its authors tried several ways to use latent weights, and do not say which.
    """

    def __init__(
        self,
        model: keras.Model,
        binary_share: keras.optimizers.schedules.LearningRateSchedule,
        *,
        activation: Any = "hard_tanh",
        indexed: bool = False,
        name: str | None = None,
    ) -> None:
        if not isinstance(binary_share, keras.optimizers.schedules.LearningRateSchedule):
            raise TypeError(
                "Expected `binary_share` to be a LearningRateSchedule of Keras 2. "
                f"Received: binary_share={binary_share!r}"
            )
        super().__init__(model, indexed=indexed, name=name)
        self._logged = Means(["binary_share"])
        self._schedule = binary_share
        # Read by all layers, and the same on all replicas.
        self._share = tf.Variable(
            0.0, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
        )
        self._mixed = mixed_network(model, self._mix, activation_of(activation))

    def forward(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Mapping[str, tf.Tensor]]:
        self._share.assign(tf.cast(self._schedule(self.optimizer.iterations), tf.float32))
        for mean in self._logged.means:
            mean.update_state(self._share)
        return self._mixed(x, training=True), {}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*super().metrics, *self._logged.means]

    def _mix(self, binary: tf.Tensor, real: tf.Tensor, layer: MixedLayer) -> tf.Tensor:
        share = tf.cast(self._share, binary.dtype)
        return share * binary + (1 - share) * layer.to_size_of_signs(real)
