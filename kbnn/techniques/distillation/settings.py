"""Distillation from a separately trained teacher as a technique of a run."""

import dataclasses
from typing import ClassVar

import tf_keras as keras

from kbnn import data
from kbnn._settings import document_settings, setting
from kbnn.techniques.contrastive.teacher_settings import ReleasedCode
from kbnn.techniques.distillation.distillation_trainer import DistillationTrainer
from kbnn.techniques.latent_weights.supervision_settings import SupervisionSettings
from kbnn.techniques.technique import Technique
from kbnn.techniques.trained_run import TrainedRun


@document_settings
@dataclasses.dataclass(frozen=True)
class Distillation(SupervisionSettings, Technique):
    """A finished run on the same data teaches the network.

    `kbnn.trainers.DistillationTrainer` does the same with a teacher of any origin.

    Args:
        {settings}

    Raises:
        ValueError: A value is not valid, the weights of all that the teacher teaches are 0, or the
            folder has no finished run.

    Example:
        >>> import kbnn
        >>> technique = kbnn.techniques.Distillation("runs/float")                 # doctest: +SKIP
        >>> trainer = technique.trainer(model, steps=1000)                         # doctest: +SKIP

    Source: docs/distillation.md.
    """

    has_two_paths: ClassVar[bool] = True

    teacher: TrainedRun = setting(help="folder of the finished run", form="RUN")
    _: dataclasses.KW_ONLY
    distillation_weight: float = setting(
        None,
        "weight of the distillation from the teacher's class outputs",
        least=0,
        unset="1, or 0 with teacher_contrast=released_code",
    )
    temperature: float = setting(1.0, "temperature of the distillation", above=0)

    def __post_init__(self) -> None:
        if self.distillation_weight is None:
            is_released = isinstance(self.teacher_contrast, ReleasedCode)
            self._keep("distillation_weight", 0.0 if is_released else 1.0)
        super().__post_init__()

    @property
    def with_index(self) -> bool:
        return self.teacher_contrast is not None and self.teacher_contrast.with_index

    def for_data(self, data: data.DataInfo) -> "Distillation":
        contrast = self.teacher_contrast
        return self if contrast is None else self.replace(teacher_contrast=contrast.for_data(data))

    def trainer(self, model: keras.Model, steps: int, *, with_index: bool = False) -> keras.Model:
        return DistillationTrainer(
            model,
            self.teacher.load(),
            self.terms(steps),
            label_weight=self.label_weight,
            with_index=with_index or self.with_index,
        )
