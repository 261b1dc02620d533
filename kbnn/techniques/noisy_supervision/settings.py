"""Learning with noisy supervision as a technique of a run."""

import dataclasses
import pathlib
from typing import Any, ClassVar

import tf_keras as keras

from kbnn import data
from kbnn._settings import Settings, default_of, document_settings, setting
from kbnn.techniques.noisy_supervision.filter_mapping import MAPPINGS
from kbnn.techniques.noisy_supervision.learned_sign import LOSS_ON, LearnedSign
from kbnn.techniques.noisy_supervision.monitor import LearnedSignMonitor
from kbnn.techniques.technique import Technique


@document_settings
@dataclasses.dataclass(frozen=True)
class Residual(Settings):
    """The learned signs start as the signs of the latent weights.

    Args:
        {settings}
    """

    scale: float = setting(
        default_of(LearnedSign, "residual_scale"),
        "factor of the mapping's output, which is added to the latent weights",
        above=0,
    )

    def arguments(self) -> dict[str, Any]:
        return {"start": self.kind(), "residual_scale": self.scale}


@dataclasses.dataclass(frozen=True)
class Random(Settings):
    """The learned signs start at random, and the network loses what it has learned."""

    def arguments(self) -> dict[str, Any]:
        return {"start": self.kind()}


@document_settings
@dataclasses.dataclass(frozen=True)
class NoisySupervision(Technique):
    """A small network learns the signs of each filter. Use it on a trained network.

    Args:
        {settings}

    Raises:
        ValueError: A value is not valid.

    Example:
        >>> import kbnn
        >>> trained = kbnn.models.vgg_tiny(width=8)
        >>> model = kbnn.techniques.NoisySupervision(noise_rate=0.2).prepare(trained)
        >>> type(model.get_layer("conv_1").kernel_quantizer).__name__
        'LearnedSign'

    Source: docs/noisy_supervision.md.
    """

    is_for_trained_networks: ClassVar[bool] = True

    noise_rate: float | tuple[float, float] = setting(
        default_of(LearnedSign, "noise_rate"),
        "assumed share of weights with a wrong label; RATE:RATE gives one share for weights whose "
        "best sign is +1 and another for weights whose best sign is -1",
        form="RATE or RATE:RATE",
    )
    weight: float = setting(
        default_of(LearnedSign, "weight"), "weight of the auxiliary loss", least=0
    )
    mapping: str = setting(
        default_of(LearnedSign, "mapping"),
        "network that maps filters to signs",
        choices=MAPPINGS,
    )
    loss_on: str = setting(
        default_of(LearnedSign, "loss_on"),
        "what the auxiliary loss compares with the labels: the tanh of predictions (soft) or signs",
        choices=LOSS_ON,
    )
    start: Residual | Random = setting(Residual(), "the signs that the training starts with")

    def __post_init__(self) -> None:
        super().__post_init__()
        # The quantizer checks which rates are valid together.
        self._keep("noise_rate", self.quantizer().noise_rate)

    def quantizer(self) -> LearnedSign:
        """The kernel quantizer."""
        return LearnedSign(
            noise_rate=self.noise_rate,
            weight=self.weight,
            mapping=self.mapping,
            loss_on=self.loss_on,
            **self.start.arguments(),
        )

    def builder_arguments(self) -> dict[str, Any]:
        return {"kernel_quantizer": self.quantizer()}

    def callbacks(
        self,
        splits: data.Splits,
        folder: pathlib.Path,
        pretrained: keras.Model | None = None,
    ) -> list[keras.callbacks.Callback]:
        return [LearnedSignMonitor(pretrained)]
