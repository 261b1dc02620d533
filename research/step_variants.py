"""The training steps whose cost is measured: one line each.

A baseline has the same architecture, images and batch size, and plain `ste_sign` from Larq.
"""

import dataclasses
import functools
from collections.abc import Callable

import tf_keras as keras

import kbnn
from kbnn.techniques.noisy_supervision.filter_mapping import MAPPINGS


@dataclasses.dataclass(frozen=True)
class Variant:
    """A training step.

    Attributes:
        model: returns a compiled model with logits, whose `make_train_function` is timed.
        baseline: the variant by which its cost is divided; None for a baseline.
        large: whether a step takes seconds, so that it is measured only if it is named.
    """

    model: Callable[[], keras.Model]
    baseline: str | None = None
    large: bool = False


def chain(clip_norm: float | None = None, **options: object) -> keras.Model:
    """Return VGG-tiny for images of Fashion-MNIST."""
    return _compile(kbnn.models.vgg_tiny(classifier_activation=None, **options), clip_norm)


def residual(clip_norm: float | None = None, **options: object) -> keras.Model:
    """Return a residual network with three stages of two convolutions, for images of CIFAR."""
    model = kbnn.models.resnet(
        (1, 1, 1), (32, 32, 3), classes=10, width=16, classifier_activation=None, **options
    )
    return _compile(model, clip_norm)


def resnet18(clip_norm: float | None = None, **options: object) -> keras.Model:
    """Return ResNet-18 for images of CIFAR."""
    options = {"stem": "small", "classifier_activation": None, **options}
    return _compile(kbnn.models.resnet18((32, 32, 3), classes=10, **options), clip_norm)


def with_learned_signs(network: Callable[..., keras.Model], mapping: str) -> keras.Model:
    """Return a network that learns its signs under noisy supervision."""
    return network(kernel_quantizer=kbnn.quantizers.LearnedSign(mapping=mapping))


def with_trainer(
    trainer: Callable[..., keras.Model], network: Callable[..., keras.Model] = chain
) -> keras.Model:
    """Return a network in a trainer."""
    return _compile(trainer(network()), None)


def with_teacher(model: keras.Model) -> keras.Model:
    """Return a trainer whose teacher is the same chain with real weights."""
    teacher = kbnn.models.vgg_tiny(classifier_activation=None, **_REAL)
    return kbnn.trainers.DistillationTrainer(model, teacher)


def contrast(negatives: str) -> keras.Model:
    """Return a chain with a contrastive term, with the bank that Fashion-MNIST needs."""
    is_bank = negatives == "bank"
    source = kbnn.techniques.MemoryBank(rows=60_000) if is_bank else negatives
    model = kbnn.techniques.with_contrast(chain(), negatives=source)
    return _compile(kbnn.trainers.Trainer(model, with_index=is_bank), None)


def _mixture(model: keras.Model) -> keras.Model:
    share = keras.optimizers.schedules.PolynomialDecay(0.0, 1000, 1.0)
    return kbnn.trainers.LatentMixtureTrainer(model, share)


def _compile(model: keras.Model, clip_norm: float | None) -> keras.Model:
    model.compile(
        keras.optimizers.Adam(0.005, global_clipnorm=clip_norm),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


_LATENT = {
    "twin": kbnn.trainers.LatentWeightTrainer,
    "mixture": _mixture,
    "gradient": kbnn.trainers.LatentGradientTrainer,
}
_REAL = {"input_quantizer": None, "kernel_quantizer": None}
_SMOOTH = {"input_quantizer": "smooth_sign", "kernel_quantizer": "smooth_sign"}

VARIANTS = {
    "chain-ste_sign": Variant(chain),
    "chain-approx_sign": Variant(
        functools.partial(chain, input_quantizer="approx_sign"), "chain-ste_sign"
    ),
    "chain-float": Variant(functools.partial(chain, **_REAL), "chain-ste_sign"),
    "chain-clip_norm": Variant(functools.partial(chain, clip_norm=1.0), "chain-ste_sign"),
    "chain-smooth_kernels": Variant(
        functools.partial(chain, kernel_quantizer="smooth_sign"), "chain-ste_sign"
    ),
    "chain-smooth_inputs": Variant(
        functools.partial(chain, input_quantizer="smooth_sign"), "chain-ste_sign"
    ),
    "chain-self_binarizing": Variant(
        functools.partial(chain, **_SMOOTH, normalization="binary"), "chain-ste_sign"
    ),
    **{
        f"chain-learned_sign-{mapping}": Variant(
            functools.partial(with_learned_signs, chain, mapping), "chain-ste_sign"
        )
        for mapping in MAPPINGS
    },
    **{
        f"chain-latent_{name}": Variant(functools.partial(with_trainer, trainer), "chain-ste_sign")
        for name, trainer in _LATENT.items()
    },
    "chain-teacher": Variant(functools.partial(with_trainer, with_teacher), "chain-ste_sign"),
    **{
        f"chain-contrast_{negatives}": Variant(
            functools.partial(contrast, negatives), "chain-ste_sign"
        )
        for negatives in ("batch", "queue", "bank")
    },
    "residual-ste_sign": Variant(residual),
    "residual-reactnet": Variant(functools.partial(residual, reactnet=True), "residual-ste_sign"),
    "residual-self_binarizing": Variant(
        functools.partial(residual, **_SMOOTH), "residual-ste_sign"
    ),
    "resnet18-ste_sign": Variant(resnet18, large=True),
    **{
        f"resnet18-learned_sign-{mapping}": Variant(
            functools.partial(with_learned_signs, resnet18, mapping),
            "resnet18-ste_sign",
            large=True,
        )
        for mapping in MAPPINGS
    },
    **{
        f"resnet18-latent_{name}": Variant(
            functools.partial(with_trainer, trainer, resnet18), "resnet18-ste_sign", large=True
        )
        for name, trainer in _LATENT.items()
    },
}

USUAL = [name for name, variant in VARIANTS.items() if not variant.large]
"""The variants that are measured by default."""


def with_baselines(names: list[str]) -> list[str]:
    """Return the variants and their baselines, each once, in the order of the table."""
    wanted = set(names) | {VARIANTS[name].baseline for name in names}
    return [name for name in VARIANTS if name in wanted]
