"""Self-binarizing networks as a technique of a run."""

import dataclasses
import pathlib
from typing import Any

import tf_keras as keras

from kbnn import data
from kbnn._settings import document_settings, setting
from kbnn.techniques.self_binarizing.sharpness_schedule import ORDERS, SharpnessSchedule
from kbnn.techniques.self_binarizing.smooth_sign_technique import (
    INPUTS,
    KERNELS,
    RANGE,
    Sharpness,
    SmoothSignTechnique,
)
from kbnn.techniques.self_binarizing.smooth_validation import SmoothValidation


@document_settings
@dataclasses.dataclass(frozen=True)
class SelfBinarizing(SmoothSignTechnique):
    """Weights and activations pass through a tanh that training sharpens into the sign.

    The forward pass is first the tanh and at the end the hard sign. The gradient is always the
    derivative of the tanh. Architectures without branches also get binary normalization.

    Args:
        {settings}

    Raises:
        ValueError: A value is not valid, or `kernels` and `inputs` are both None.

    Example:
        >>> import kbnn
        >>> technique = kbnn.techniques.SelfBinarizing(inputs=(1, 5), order="layer_by_layer")
        >>> model = kbnn.models.vgg_tiny(width=8, **technique.builder_arguments())

    For an existing model, use `technique.prepare(model)`. Pass the callbacks that
    `technique.callbacks(splits, folder)` returns to `fit`.

    Source: docs/self_binarizing.md.
    """

    kernels: Sharpness = setting((1.0, 100.0), KERNELS, **RANGE)
    inputs: Sharpness = setting((1.0, 10.0), INPUTS, **RANGE)
    hard_from: float = setting(
        0.8,
        "share of the training after which the forward pass is the hard sign and the sharpness has "
        "its last value; with 1 the forward pass is never hard",
        above=0,
        most=1,
    )
    order: str = setting(
        "together",
        "whether all layers become sharp and hard together, or layer by layer from input to output",
        choices=ORDERS,
    )

    def builder_arguments(self) -> dict[str, Any]:
        return {**self.quantizers(hard_forward=False), "normalization": "binary"}

    def callbacks(
        self,
        splits: data.Splits,
        folder: pathlib.Path,
        pretrained: keras.Model | None = None,
    ) -> list[keras.callbacks.Callback]:
        schedules = [
            SharpnessSchedule(
                *sharpness, hard_forward_from=self.hard_from, order=self.order, quantizers=kind
            )
            for kind, sharpness in self.sharpness.items()
        ]
        shown = self.monitors(splits, folder)
        if splits.validation is not None:
            shown.append(SmoothValidation(splits.validation))
        return [*schedules, *shown]
