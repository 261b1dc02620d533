"""What the techniques that train with smooth signs have in common."""

import dataclasses
import pathlib
from typing import Any

import tf_keras as keras

from kbnn import data
from kbnn._settings import setting
from kbnn.techniques.self_binarizing.binarization_monitor import BinarizationMonitor
from kbnn.techniques.self_binarizing.smooth_sign import SmoothSign
from kbnn.techniques.self_binarizing.weight_histograms import WeightHistograms
from kbnn.techniques.technique import Technique

Sharpness = tuple[float, float] | None

# What the fields of all these techniques say.
RANGE: dict[str, Any] = {"above": 0, "most": 1e30, "form": "FIRST:LAST|none"}
KERNELS, INPUTS = (
    f"first and last sharpness of the smooth signs of {kind}s; none keeps the network's {kind} "
    "quantizer"
    for kind in ("kernel", "input")
)


@dataclasses.dataclass(frozen=True)
class SmoothSignTechnique(Technique):
    """A technique that trains with smooth signs of kernels, of inputs or of both.

    Args:
        kernels: The sharpness for kernels at the first and at the last step, or None.
        inputs: The same for inputs.
    """

    kernels: Sharpness = setting(None, KERNELS, **RANGE)
    inputs: Sharpness = setting(None, INPUTS, **RANGE)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sharpness:
            raise ValueError(
                "Expected a sharpness for `kernels`, `inputs` or both. Received: neither"
            )

    @property
    def sharpness(self) -> dict[str, tuple[float, float]]:
        """The sharpness at the first and at the last step, by what is quantized."""
        both = {"kernel": self.kernels, "input": self.inputs}
        return {kind: sharpness for kind, sharpness in both.items() if sharpness is not None}

    def quantizers(self, *, hard_forward: bool) -> dict[str, SmoothSign]:
        """The builder arguments that are quantizers."""
        return {
            f"{kind}_quantizer": SmoothSign(hard_forward=hard_forward) for kind in self.sharpness
        }

    def without(self, argument: str) -> Technique | None:
        left = {
            kind: own for kind, own in self.sharpness.items() if argument != f"{kind}_quantizer"
        }
        if not left:
            return None
        return self.replace(kernels=left.get("kernel"), inputs=left.get("input"))

    def monitors(self, splits: data.Splits, folder: pathlib.Path) -> list[keras.callbacks.Callback]:
        """The callbacks that show how binary the network is."""
        seen = None if splits.validation is None else next(iter(splits.validation))[0]
        shown: list[keras.callbacks.Callback] = [BinarizationMonitor(seen)]
        if self.kernels is not None:
            shown.append(WeightHistograms(folder / "weights.npz"))
        return shown
