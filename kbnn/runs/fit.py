"""The settings of a run's training."""

import dataclasses
from typing import Any

import tf_keras as keras

from kbnn._settings import Settings, document_settings, setting

_MOMENTUM = 0.9
# The learning rate where none is given: of new weights, and of a network that has been trained.
_RATES = {"adam": (0.005, 0.001), "sgd": (0.1, 0.01)}


@document_settings
@dataclasses.dataclass(frozen=True)
class Fit(Settings):
    """How long a run trains, and with which optimizer.

    Args:
        {settings}

    Raises:
        ValueError: A value that is not valid.
    """

    epochs: int = setting(20, "passes over the training images", least=1, flag="--epochs")
    optimizer: str = setting(
        "adam",
        f"optimizer; sgd has a momentum of {_MOMENTUM}",
        choices=tuple(_RATES),
        flag="--optimizer",
    )
    learning_rate: float | None = setting(
        None,
        "learning rate of the first step",
        above=0,
        unset=", ".join(
            f"{new} with {name} ({trained} if the network has been trained)"
            for name, (new, trained) in _RATES.items()
        ),
        flag="--learning-rate",
    )
    schedule: str = setting(
        "cosine",
        "how the learning rate changes: along a cosine down to 0, or not at all",
        choices=("cosine", "constant"),
        flag="--schedule",
    )
    clip_norm: float | None = setting(
        None, "norm to which longer gradients are scaled down", above=0, unset="no clipping"
    )
    seed: int = setting(
        0,
        "seed of initial weights, held-out images, order and augmentation",
        least=0,
        most=2**32 - 1,
        flag="--seed",
    )

    def complete(self, is_pretrained: bool) -> "Fit":
        """Fill in the learning rate."""
        if self.learning_rate is not None:
            return self
        return self.replace(learning_rate=_RATES[self.optimizer][is_pretrained])

    def compile(self, model: keras.Model, steps: int) -> None:
        """Give a model its optimizer, whose schedule takes `steps`, its loss and its metrics."""
        model.compile(
            self._optimizer(steps),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )

    def _optimizer(self, steps: int) -> keras.optimizers.Optimizer:
        rate: Any = self.learning_rate
        if self.schedule == "cosine":
            rate = keras.optimizers.schedules.CosineDecay(rate, steps)
        if self.optimizer == "adam":
            return keras.optimizers.Adam(rate, global_clipnorm=self.clip_norm)
        return keras.optimizers.SGD(rate, momentum=_MOMENTUM, global_clipnorm=self.clip_norm)
