"""Self-binarizing networks as a technique of a run."""

import dataclasses
import pathlib
from typing import Any

import tf_keras as keras

from kbnn import data
from kbnn._settings import Settings, default_of, document_settings, setting
from kbnn.techniques.self_binarizing.binarization_monitor import BinarizationMonitor
from kbnn.techniques.self_binarizing.sharpness_schedule import SharpnessSchedule
from kbnn.techniques.self_binarizing.smooth_sign import SmoothSign
from kbnn.techniques.self_binarizing.smooth_validation import SmoothValidation
from kbnn.techniques.self_binarizing.weight_histograms import WeightHistograms
from kbnn.techniques.technique import Technique


@document_settings
@dataclasses.dataclass(frozen=True)
class SmoothSigns(Settings):
    """How the smooth signs of kernels, or of inputs, become sharp.

    Args:
        {settings}
    """

    sharpness: tuple[float, float] = setting(
        (1.0, 10.0),
        "sharpness at the first and at the last step",
        above=0,
        most=1e30,
        form="FIRST:LAST",
    )
    hard_forward_from: float = setting(
        0.0,
        "share of the training after which the forward pass is the hard sign; 1 for never",
        least=0,
        most=1,
    )


@document_settings
@dataclasses.dataclass(frozen=True)
class SelfBinarizing(Technique):
    """Smooth signs, for kernels and inputs, that become sharp during training.

    Architectures without branches also get binary normalization.

    Args:
        {settings}

    Raises:
        ValueError: A value that is not valid; neither kernels nor inputs.

    Example:
        >>> import kbnn
        >>> technique = kbnn.techniques.SelfBinarizing()
        >>> model = kbnn.models.vgg_tiny(width=8, **technique.builder_arguments())

    For a model that there is already, use `technique.prepare(model)`. Give `fit` the callbacks that
    `technique.callbacks(splits, folder)` returns.

    Source: docs/self_binarizing.md.
    """

    kernels: SmoothSigns | None = setting(
        SmoothSigns(), "smooth signs of kernels; none keeps the network's kernel quantizer"
    )
    inputs: SmoothSigns | None = setting(
        SmoothSigns((1.0, 3.0)), "smooth signs of inputs; none keeps the network's input quantizer"
    )
    hold: float = setting(
        default_of(SharpnessSchedule, "hold"),
        "share of the training, at its end, with the last sharpness",
        least=0,
        most=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kernels is None and self.inputs is None:
            raise ValueError(
                "Expected SmoothSigns for `kernels`, `inputs` or both. Received: neither"
            )

    def builder_arguments(self) -> dict[str, Any]:
        signs = {
            f"{kind}_quantizer": SmoothSign()
            for kind, schedule in self._schedules.items()
            if schedule is not None
        }
        return {**signs, "normalization": "binary"}

    def without(self, argument: str) -> Technique | None:
        left = {
            f"{kind}s": None if argument == f"{kind}_quantizer" else schedule
            for kind, schedule in self._schedules.items()
        }
        return self.replace(**left) if any(left.values()) else None

    def callbacks(
        self,
        splits: data.Splits,
        folder: pathlib.Path,
        pretrained: keras.Model | None = None,
    ) -> list[keras.callbacks.Callback]:
        schedules = [
            SharpnessSchedule(
                *schedule.sharpness,
                hold=self.hold,
                hard_forward_from=schedule.hard_forward_from,
                quantizers=kind,
            )
            for kind, schedule in self._schedules.items()
            if schedule is not None
        ]
        seen = None if splits.validation is None else next(iter(splits.validation))[0]
        shown: list[keras.callbacks.Callback] = [BinarizationMonitor(seen)]
        if splits.validation is not None:
            shown.append(SmoothValidation(splits.validation))
        if self.kernels is not None:
            shown.append(WeightHistograms(folder / "weights.npz"))
        return [*schedules, *shown]

    @property
    def _schedules(self) -> dict[str, SmoothSigns | None]:
        return {"kernel": self.kernels, "input": self.inputs}
