"""Latent weights as a technique of a run: a twin, a mixture, or the gradient."""

import dataclasses
from typing import Any, ClassVar

import tf_keras as keras

from kbnn import _checks
from kbnn._settings import Settings, default_of, document_settings, setting
from kbnn.graph.larq_quantizers import has_binary_kernel
from kbnn.graph.layers import layers_of
from kbnn.graph.roles import ROLES
from kbnn.techniques.contrastive.teacher_settings import FeatureContrast
from kbnn.techniques.latent_weights.latent_gradient_trainer import LatentGradientTrainer
from kbnn.techniques.latent_weights.latent_mixture_trainer import LatentMixtureTrainer
from kbnn.techniques.latent_weights.latent_weight_trainer import LatentWeightTrainer
from kbnn.techniques.latent_weights.supervision_settings import SupervisionSettings
from kbnn.techniques.latent_weights.terms import LatentSupervision, RealPathLoss
from kbnn.techniques.technique import Technique

_UNTIL = "share of the training in which {} linearly to 0"


@document_settings
@dataclasses.dataclass(frozen=True)
class Twin(SupervisionSettings):
    """A real-valued twin that has the same latent weights and teaches the network.

    Args:
        {settings}

    Raises:
        ValueError: A value is not valid, or the weights of all that the twin teaches are 0.
    """

    real_weight: float = setting(1.0, "weight of the twin's own loss", least=0)
    balance_gradient: bool = setting(
        default_of(LatentWeightTrainer, "balance_gradient"),
        "whether to scale the twin's gradients of binary kernels to the size of the model's",
    )
    share: tuple[str, ...] = setting(
        default_of(LatentWeightTrainer, "share"),
        f"real-valued layers that both networks share: any of {', '.join(ROLES)}, or none",
    )
    until: float | None = setting(
        None,
        _UNTIL.format("the weights of the twin's terms fall"),
        above=0,
        most=1,
        unset="constant weights",
    )
    _: dataclasses.KW_ONLY
    teacher_contrast: FeatureContrast | None = setting(
        None, "contrastive term with the twin's features"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _checks.names("share", self.share, valid=ROLES)
        self._keep("share", tuple(role for role in ROLES if role in self.share))
        if self.until is not None and not self.label_weight:
            raise ValueError(
                "Expected `label_weight` above 0 with `until`, after which only the labels train "
                f"the network. Received: label_weight=0, until={self.until:g}"
            )

    @property
    def weights(self) -> dict[str, float]:
        return {"real_weight": self.real_weight, **super().weights}

    def trainer(self, model: keras.Model, steps: int, with_index: bool) -> keras.Model:
        return LatentWeightTrainer(
            model,
            self.terms(steps),
            label_weight=self.label_weight,
            share=self.share,
            balance_gradient=self.balance_gradient,
            with_index=with_index,
        )

    def terms(self, steps: int) -> list[LatentSupervision]:
        # A term of weight 0 stays too, so that the twin's own weights are in the graph of the loss.
        return [RealPathLoss(self.weight_at(self.real_weight, steps)), *super().terms(steps)]

    def weight_at(self, first: float, steps: int) -> Any:
        return first if self.until is None else _decay(first, 0.0, self.until, steps)


@document_settings
@dataclasses.dataclass(frozen=True)
class Mixture(Settings):
    """The layers start real-valued and become binary during training.

    Args:
        {settings}
    """

    until: float = setting(
        0.3, "share of the training after which all layers are binary", above=0, most=1
    )

    def trainer(self, model: keras.Model, steps: int, with_index: bool) -> keras.Model:
        share = _decay(0.0, 1.0, self.until, steps)
        return LatentMixtureTrainer(model, share, with_index=with_index)


@document_settings
@dataclasses.dataclass(frozen=True)
class Gradient(Settings):
    """The gradients of real-valued layers are added to the gradients of the binary layers.

    Args:
        {settings}
    """

    weight: float = setting(
        default_of(LatentGradientTrainer, "weight"), "weight of the added gradients", least=0
    )
    until: float | None = setting(
        None, _UNTIL.format("the weight falls"), above=0, most=1, unset="a constant weight"
    )

    def trainer(self, model: keras.Model, steps: int, with_index: bool) -> keras.Model:
        weight = self.weight if self.until is None else _decay(self.weight, 0.0, self.until, steps)
        return LatentGradientTrainer(model, weight, with_index=with_index)


@document_settings
@dataclasses.dataclass(frozen=True)
class LatentWeights(Technique):
    """The latent weights also serve as real-valued weights, which help to train the binary ones.

    Args:
        {settings}

    Example:
        >>> import kbnn
        >>> technique = kbnn.techniques.LatentWeights(kbnn.techniques.Twin(distillation_weight=0.1))
        >>> trainer = technique.trainer(kbnn.models.vgg_tiny(width=8), steps=1000)
        >>> trainer.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

    Source: docs/latent_weights.md.
    """

    has_two_paths: ClassVar[bool] = True

    way: Twin | Mixture | Gradient = setting(Twin(), "how the latent weights help the training")

    def trainer(self, model: keras.Model, steps: int, *, with_index: bool = False) -> keras.Model:
        if not any(has_binary_kernel(layer) for layer in layers_of(model)):
            raise ValueError(
                "Expected a binary layer with a quantized kernel, because its latent weights help. "
                f"Received: model={model.name!r} without one"
            )
        return self.way.trainer(model, steps, with_index)


def _decay(first: float, last: float, until: float, steps: int) -> Any:
    """A number that is linear in the step until a share of the steps, and then constant."""
    mixed = max(1, round(until * steps))
    return keras.optimizers.schedules.PolynomialDecay(float(first), mixed, last)
