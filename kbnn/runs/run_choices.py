"""What the settings of a training run can be: names, their defaults, and what goes with what."""

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

import tf_keras as keras

from kbnn import models
from kbnn.techniques.contrastive.contrastive_term import ContrastiveTerm
from kbnn.techniques.contrastive.negatives import SOURCES, EmbeddingQueue
from kbnn.techniques.contrastive.with_contrast import with_contrast
from kbnn.techniques.noisy_supervision.learned_sign import LearnedSign

MODELS: dict[str, Callable[..., keras.Model]] = {
    "vgg_tiny": models.vgg_tiny,
    "vgg_small": models.vgg_small,
    "resnet20": models.resnet20,
    "resnet20_plain": functools.partial(models.resnet20, shortcuts="plain"),
    "resnet18": models.resnet18,
    "resnet18_small": functools.partial(models.resnet18, stem="small"),
    "resnet34": models.resnet34,
    "alexnet": models.alexnet,
}
# The learning rate that is used where none is given.
OPTIMIZERS = {"adam": 0.005, "sgd": 0.1}
# The same for a network that goes on after a training (`pretrained`).
TUNING_RATES = {"adam": 0.001, "sgd": 0.01}
SCHEDULES = ("cosine", "constant")
AUGMENTATIONS = ("none", "crop", "flip", "both")
PREPROCESSING = ("inside", "pipeline")
INPUT_QUANTIZERS = ("ste_sign", "approx_sign", "swish_sign", "smooth_sign", "none")
KERNEL_QUANTIZERS = (
    "ste_sign",
    "approx_sign",
    "swish_sign",
    "smooth_sign",
    "magnitude_aware_sign",
    "learned_sign",
    "none",
)
NORMALIZATIONS = ("batch", "binary")
KERNEL_CONSTRAINTS = ("weight_clip", "none")
# `kbnn.quantizers.LearnedSign`'s arguments, and the settings that they are here.
LEARNED_SIGN = {
    "noise_rate": "noise_rate",
    "weight": "auxiliary_weight",
    "mapping": "mapping",
    "start": "mapping_start",
    "residual_scale": "residual_scale",
    "loss_on": "loss_on",
}


def _defaults(
    function: Callable[..., Any], settings: Mapping[str, str], arguments: Collection[str]
) -> dict[str, Any]:
    """The defaults of some arguments, by the settings that they are here."""
    parameters = inspect.signature(function).parameters
    return {settings[argument]: parameters[argument].default for argument in arguments}


# Ways to train with the latent weights: `kbnn.training`'s models.
LATENT = ("none", "twin", "mixture", "gradient")
# Where the mixture ends, if nothing is said.
MIXED_UNTIL = 0.3
# `kbnn.layers.ContrastiveTerm`'s arguments, and the settings that they are here.
CONTRAST = {
    "weight": "contrast_weight",
    "temperature": "contrast_temperature",
    "embedding": "contrast_embedding",
    "count": "contrast_count",
}
CONTRASTS = ("none", *SOURCES)
TWIN_DISTILLATION = {"distillation_weight": 0.3, "temperature": 4.0}
TEACHER_DISTILLATION = {"distillation_weight": 1.0, "temperature": 1.0}
# The choice of a setting that has any value at all.
GIVEN = "RUN"
# Settings that belong to a choice: by setting, the choices of which one is enough, and the values
# where none are given. Beside other choices they are None. A setting may be in several lines.
BELONGING: tuple[tuple[dict[str, tuple[str, ...]], dict[str, Any]], ...] = (
    ({"kernel_quantizer": ("smooth_sign",)}, {"kernel_sharpness": (1.0, 100.0)}),
    ({"input_quantizer": ("smooth_sign",)}, {"input_sharpness": (1.0, 10.0)}),
    (
        {"kernel_quantizer": ("learned_sign",)},
        _defaults(
            LearnedSign, LEARNED_SIGN, [name for name in LEARNED_SIGN if name != "residual_scale"]
        ),
    ),
    (
        {"mapping_start": ("residual",)},
        _defaults(LearnedSign, LEARNED_SIGN, ("residual_scale",)),
    ),
    (
        {"latent": ("twin",)},
        {
            **{"real_weight": 1.0, "balance_gradient": True, "latent_share": "stem"},
            **TWIN_DISTILLATION,
        },
    ),
    ({"teacher": (GIVEN,)}, TEACHER_DISTILLATION),
    (
        {"latent": ("twin",), "teacher": (GIVEN,)},
        {"feature_weight": 0.0, "teacher_contrast_weight": 0.0},
    ),
    ({"latent": ("gradient",)}, {"gradient_weight": 1.0}),
    (
        {"contrast": tuple(SOURCES)},
        {
            "contrast_taps": inspect.signature(with_contrast).parameters["layers"].default,
            **_defaults(ContrastiveTerm, CONTRAST, ("weight", "temperature", "embedding")),
        },
    ),
    ({"contrast": ("queue", "bank")}, _defaults(EmbeddingQueue, CONTRAST, ("count",))),
)
# The values of those settings where none are given.
DEFAULTS = {name: value for _, values in BELONGING for name, value in values.items()}
# Chains; in the others binary normalization and the settings of `ENDS` have no place.
CHAINS = ("vgg_tiny", "vgg_small", "alexnet")
ENDS = ("binary_stem", "binary_classifier")
# A technique by its name: the settings that it stands for.
METHODS: dict[str, dict[str, Any]] = {
    "self-binarizing": {
        "input_quantizer": "smooth_sign",
        "kernel_quantizer": "smooth_sign",
        "normalization": "binary",
        "kernel_sharpness": (1.0, 10.0),
        "input_sharpness": (1.0, 3.0),
        "hard_forward_from": 0.0,
        "kernel_hard_forward_from": 0.0,
    },
    "noisy-supervision": {"kernel_quantizer": "learned_sign"},
    "latent-weights": {"latent": "twin"},
    "contrastive": {"contrast": "batch"},
}
# Of each setting that is a name.
CHOICES = {
    "model": tuple(MODELS),
    "optimizer": tuple(OPTIMIZERS),
    "schedule": SCHEDULES,
    "augment": AUGMENTATIONS,
    "preprocessing": PREPROCESSING,
    "input_quantizer": INPUT_QUANTIZERS,
    "kernel_quantizer": KERNEL_QUANTIZERS,
    "normalization": NORMALIZATIONS,
    "sharpness_law": ("geometric",),
    "kernel_constraint": KERNEL_CONSTRAINTS,
    "latent": LATENT,
    "contrast": CONTRASTS,
}


def option(name: str) -> str:
    """A setting's name on the command line."""
    return "--" + name.replace("_", "-")
