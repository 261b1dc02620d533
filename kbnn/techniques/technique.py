"""The protocol by which a technique takes part in a training run."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, ClassVar

import tf_keras as keras

from kbnn import data
from kbnn._settings import Settings
from kbnn.training.requantize import requantize


@dataclasses.dataclass(frozen=True)
class Technique(Settings):
    """A technique and its settings. Its methods apply it to a model and to a training run.

    `kbnn.runs.train_run` calls them for each technique of a run. To write your own technique,
    derive a frozen dataclass from this class and override the methods that you need.

    Attributes:
        has_two_paths: Whether its trainer runs a second network in addition to the model. A run can
            have one such technique.
        is_for_trained_networks: Whether it helps only a network that has been trained before.
        with_index: Whether training batches have to be `(x, y, index)`.
    """

    has_two_paths: ClassVar[bool] = False
    is_for_trained_networks: ClassVar[bool] = False

    @property
    def with_index(self) -> bool:
        return False

    def for_data(self, data: data.DataInfo) -> "Technique":
        """The technique with the settings that it takes from the training data."""
        return self

    def builder_arguments(self) -> dict[str, Any]:
        """Arguments for the functions of `kbnn.models` that build a model with the technique.

        The names of quantizers and "normalization".
        """
        return {}

    def without(self, argument: str) -> "Technique | None":
        """What is left if another technique gives this builder argument; None for nothing."""
        return None if argument in self.builder_arguments() else self

    def prepare(self, model: keras.Model, data: data.DataInfo | None = None) -> keras.Model:
        """Apply the technique to a model that was built without `builder_arguments`.

        Args:
            model: A built model. It is left as it is.
            data: What `kbnn.data.describe` returns for the training data.

        Returns:
            A copy with the technique, not compiled; or `model`, if nothing has to change.
        """
        quantizers = {
            name: value
            for name, value in self.builder_arguments().items()
            if name.endswith("_quantizer")
        }
        return requantize(model, **quantizers) if quantizers else model

    def trainer(
        self, model: keras.Model, steps: int, *, with_index: bool = False
    ) -> keras.Model | None:
        """What to call `compile` and `fit` on, or None for the model itself.

        Args:
            model: The model that `prepare` returned.
            steps: Number of training steps, for schedules.
            with_index: Whether batches are `(x, y, index)`.
        """
        return None

    def callbacks(
        self,
        splits: data.Splits,
        folder: pathlib.Path,
        pretrained: keras.Model | None = None,
    ) -> list[keras.callbacks.Callback]:
        """The callbacks that the technique needs or that show what it does.

        Args:
            splits: The data, as `kbnn.data.load` returns them.
            folder: Where files with measurements go.
            pretrained: The network that the training starts from, if it has been trained before.
        """
        return []

    def is_only_for_training(self, layer: keras.layers.Layer) -> bool:
        """Whether a layer that `prepare` has added to the model does not ship."""
        return False


def trainer_of(
    techniques: Sequence[Technique],
    model: keras.Model,
    steps: int,
    data: data.DataInfo | None = None,
) -> keras.Model:
    """What to call `compile` and `fit` on: the model, or the trainer of one of the techniques."""
    if data is not None:
        techniques = [technique.for_data(data) for technique in techniques]
    with_index = any(technique.with_index for technique in techniques)
    # A trainer of two paths does everything that a plain trainer does.
    for technique in sorted(techniques, key=lambda each: not each.has_two_paths):
        trainer = technique.trainer(model, steps, with_index=with_index)
        if trainer is not None:
            return trainer
    return model
