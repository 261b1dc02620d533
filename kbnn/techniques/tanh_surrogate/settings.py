"""The tanh surrogate gradient as a technique of a run."""

import dataclasses
import pathlib
from typing import Any

import tf_keras as keras

from kbnn import data
from kbnn._settings import document_settings, setting
from kbnn.techniques.self_binarizing.sharpness_schedule import SharpnessSchedule
from kbnn.techniques.self_binarizing.smooth_sign_technique import (
    INPUTS,
    KERNELS,
    RANGE,
    Sharpness,
    SmoothSignTechnique,
)


@document_settings
@dataclasses.dataclass(frozen=True)
class TanhSurrogate(SmoothSignTechnique):
    """Hard signs get the gradient of a tanh that becomes sharper during training.

    This is a straight-through estimator: the forward pass is the sign from the first step on. The
    network keeps its normalization.

    Args:
        {settings}

    Raises:
        ValueError: A value is not valid, or `kernels` and `inputs` are both None.

    Example:
        >>> import kbnn
        >>> technique = kbnn.techniques.TanhSurrogate(kernels=None)
        >>> model = kbnn.models.vgg_tiny(width=8, **technique.builder_arguments())

    For an existing model, use `technique.prepare(model)`. Pass the callbacks that
    `technique.callbacks(splits, folder)` returns to `fit`.

    Source: kbnn (kbnn/techniques/tanh_surrogate/README.md).
    """

    kernels: Sharpness = setting((1.0, 10.0), KERNELS, **RANGE)
    inputs: Sharpness = setting((1.0, 3.0), INPUTS, **RANGE)

    def builder_arguments(self) -> dict[str, Any]:
        return dict(self.quantizers(hard_forward=True))

    def callbacks(
        self,
        splits: data.Splits,
        folder: pathlib.Path,
        pretrained: keras.Model | None = None,
    ) -> list[keras.callbacks.Callback]:
        schedules = [
            SharpnessSchedule(*sharpness, hard_forward_from=0.0, quantizers=kind)
            for kind, sharpness in self.sharpness.items()
        ]
        return [*schedules, *self.monitors(splits, folder)]
