"""The train step of a binary network whose layers compute with their latent weights too."""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn.techniques.latent_weights.latent_layer import activation_of
from kbnn.techniques.latent_weights.mixed_network import Combine, mixed_network
from kbnn.training.trainer import Means, Trainer


class MixedTrainer(Trainer):
    """A `Trainer` of a model's mixed network, in which a number follows a schedule; a base.

    Args:
        model: as for `mixed_network`.
        number: a number, or a `keras.optimizers.schedules.LearningRateSchedule` that gives it by
            the step of the optimizer.
        logged: its name in the logs.
        combine, activation, read_bias: as for `mixed_network`.
        indexed, name: as for `Trainer`.
    """

    def __init__(
        self,
        model: keras.Model,
        number: Any,
        logged: str,
        combine: Combine,
        activation: Any,
        *,
        read_bias: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
        with_index: bool,
        name: str | None,
    ) -> None:
        super().__init__(model, with_index=with_index, name=name)
        self._logged = Means([logged])
        self._training_only |= {logged}
        self._schedule = number
        # Read by all layers, and the same on all replicas.
        self._number = tf.Variable(
            0.0, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
        )
        self._mixed = mixed_network(model, combine, activation_of(activation), read_bias=read_bias)

    def forward(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Mapping[str, tf.Tensor]]:
        step = self.optimizer.iterations
        number = self._schedule(step) if callable(self._schedule) else self._schedule
        self._number.assign(tf.cast(number, tf.float32))
        for mean in self._logged.means:
            mean.update_state(self._number)
        return self._mixed(x, training=True), {}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*super().metrics, *self._logged.means]

    def number(self, like: tf.Tensor) -> tf.Tensor:
        """The number at this step, in the precision of a tensor."""
        return tf.cast(self._number, like.dtype)
