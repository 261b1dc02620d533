"""What a twin or a teacher teaches, as settings."""

import dataclasses
from typing import Any

from kbnn._settings import Settings, setting
from kbnn.techniques.contrastive.teacher_settings import FeatureContrast, ReleasedCode
from kbnn.techniques.latent_weights.terms import (
    Distillation,
    FeatureAlignment,
    LatentSupervision,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SupervisionSettings(Settings):
    """The weights of what a real-valued network teaches a binary one.

    Raises:
        ValueError: A value is not valid, or the weights of all that it teaches are 0.
    """

    label_weight: float = setting(
        1.0,
        "weight of the loss of the labels; 0 trains without labels",
        least=0,
    )
    distillation_weight: float = setting(
        0.3, "weight of the distillation from the twin's or teacher's class outputs", least=0
    )
    temperature: float = setting(4.0, "temperature of the distillation", above=0)
    feature_weight: float = setting(
        0.0, "weight of the alignment with the twin's or teacher's features", least=0
    )
    teacher_contrast: FeatureContrast | ReleasedCode | None = setting(
        None, "contrastive term with the twin's or teacher's features"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not any(self.weights.values()) and self.teacher_contrast is None:
            names = ", ".join(f"`{name}`" for name in self.weights)
            raise ValueError(
                f"Expected one of {names} above 0, or `teacher_contrast`. "
                "Received: 0 for all of them, and no `teacher_contrast`"
            )

    @property
    def weights(self) -> dict[str, float]:
        """The weights of what it teaches that may be 0, by the names of their settings."""
        names = ("distillation_weight", "feature_weight")
        return {name: getattr(self, name) for name in names}

    def terms(self, steps: int) -> list[LatentSupervision]:
        """The terms for a training run of `steps`; terms of features only if they have a weight."""
        found: list[LatentSupervision] = [
            Distillation(self.weight_at(self.distillation_weight, steps), self.temperature)
        ]
        if self.feature_weight:
            found.append(FeatureAlignment(self.weight_at(self.feature_weight, steps)))
        if self.teacher_contrast is not None:
            weight = self.weight_at(self.teacher_contrast.weight, steps)
            found.append(self.teacher_contrast.term(weight))
        return found

    def weight_at(self, first: float, steps: int) -> Any:
        """A weight in a training run of `steps`: a number, or a schedule by the step."""
        return first
