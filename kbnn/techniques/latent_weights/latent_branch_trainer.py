"""The train step of a binary network with latent branches."""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn.techniques.latent_weights.latent_branches import Combine, add_latent_branches
from kbnn.techniques.latent_weights.latent_layer import get_activation
from kbnn.training.trainer import EpochMeans, Trainer


class LatentBranchTrainer(Trainer):
    """Base class for trainers that add latent branches, with a factor that may follow a schedule.

    Args:
        model: As for `add_latent_branches`.
        factor: A number, or a `keras.optimizers.schedules.LearningRateSchedule` that returns it for
            a step of the optimizer.
        factor_name: The name of the factor in the logs.
        combine, activation, transform_bias: As for `add_latent_branches`.
        with_index, name: As for `Trainer`.
    """

    def __init__(
        self,
        model: keras.Model,
        factor: Any,
        factor_name: str,
        combine: Combine,
        activation: Any,
        *,
        transform_bias: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
        with_index: bool,
        name: str | None,
    ) -> None:
        super().__init__(model, with_index=with_index, name=name)
        self._factor_mean = EpochMeans([factor_name])
        self._training_only |= {factor_name}
        self._schedule = factor
        # All layers read it, and it is the same on all replicas.
        self._factor = tf.Variable(
            0.0, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
        )
        self._branched = add_latent_branches(
            model, combine, get_activation(activation), transform_bias=transform_bias
        )

    def forward(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Mapping[str, tf.Tensor]]:
        step = self.optimizer.iterations
        factor = self._schedule(step) if callable(self._schedule) else self._schedule
        self._factor.assign(tf.cast(factor, tf.float32))
        for mean in self._factor_mean.means:
            mean.update_state(self._factor)
        return self._branched(x, training=True), {}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*super().metrics, *self._factor_mean.means]

    def factor(self, like: tf.Tensor) -> tf.Tensor:
        """Return the factor at this step, in the precision of a tensor."""
        return tf.cast(self._factor, like.dtype)
