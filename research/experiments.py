"""The experiments that judge the techniques: one line each.

Two experiments are compared seed by seed, so they share everything but what is in question. The
settings of the baselines were chosen among the variants below on the validation split (their
screening rows in results/accuracy.csv).
"""

from typing import Any, NamedTuple

from kbnn.cli import RunConfig
from kbnn.training.layer_roles import ROLES

FASHION = {"data": "fashion_mnist", "model": "vgg_tiny", "batch_size": 128, "epochs": 12}
# The CIFAR-10 at hand is a copy in JPEG (quality 75), which costs some accuracy; hence its name.
# Two epochs are what two CPU cores can do: they compare beginnings, not trained networks.
CIFAR = {"data": "cifar10", "model": "resnet20", "batch_size": 128, "augment": "both", "epochs": 2}
# 242 characters, 3,630 training images, as `omniglot.py` writes them (`--data-dir` names the file).
OMNIGLOT = {
    "data": "folder",
    "model": "vgg_tiny",
    "batch_size": 128,
    "epochs": 90,
    "augment": "crop",
    "validation": 0.2,
}
REAL = {"input_quantizer": "none", "kernel_quantizer": "none"}

SMOOTH = "smooth_sign"
# Self-binarizing networks: which signs are smooth.
KERNELS = {**FASHION, "learning_rate": 0.005, "kernel_quantizer": SMOOTH}
BINARY_NORM = {**FASHION, "learning_rate": 0.005, "normalization": "binary"}
INPUTS = {**BINARY_NORM, "input_quantizer": SMOOTH}
BOTH = {**INPUTS, "kernel_quantizer": SMOOTH}

# Learning with noisy supervision, and what it is compared with: they go on with trained networks.
TUNED = {**FASHION, "epochs": 6, "learning_rate": 0.001}
LEARNED = {**TUNED, "kernel_quantizer": "learned_sign"}

# Latent weights.
LATENT = {**FASHION, "learning_rate": 0.005}

# The contrastive term.
CONTRAST = {**FASHION, "learning_rate": 0.005}
MANY_CLASSES = {**OMNIGLOT, "learning_rate": 0.005}


def twin(
    real: float, distillation: float, features: float, share: str = ",".join(ROLES)
) -> dict[str, Any]:
    """A twin with these weights of its terms, and with these real-valued layers shared."""
    weights = {"real_weight": real, "distillation_weight": distillation}
    return {"latent": "twin", **weights, "feature_weight": features, "latent_share": share}


class Taught(NamedTuple):
    """What an experiment learns beside the labels.

    Attributes:
        teacher: the experiment whose final run of the same seed teaches it; its cost is that of
            both.
        terms: settings of a `RunConfig` that say how.
    """

    teacher: str
    terms: dict[str, Any]


TEACHERS = {
    f"fashion-teacher-w{weight}-t{temperature}": Taught(
        "fashion-float", {"distillation_weight": weight, "temperature": temperature}
    )
    for weight in (0.1, 0.3, 1, 3)
    for temperature in (1, 4)
} | {
    f"fashion-teacher-contrast{weight}": Taught(
        "fashion-float", {"distillation_weight": 0.0, "teacher_contrast_weight": weight}
    )
    for weight in (0.03, 0.1, 0.3)
}
"""Learning from a network that was trained before: distillation, what latent weights are compared
with, and the contrastive term with its features."""

VARIANTS = {
    **{
        f"fashion-float-lr{rate}": RunConfig(**FASHION, **REAL, learning_rate=rate)
        for rate in (0.001, 0.003)
    },
    **{
        f"fashion-ste_sign-lr{rate}": RunConfig(**FASHION, learning_rate=rate)
        for rate in (0.002, 0.005, 0.01)
    },
    **{
        f"cifar10jpeg-resnet20-float-lr{rate}": RunConfig(**CIFAR, **REAL, learning_rate=rate)
        for rate in (0.001, 0.003)
    },
    **{
        f"cifar10jpeg-resnet20-ste_sign-lr{rate}": RunConfig(**CIFAR, learning_rate=rate)
        for rate in (0.002, 0.005)
    },
    "fashion-ste_sign-lr0.005-clip1": RunConfig(**FASHION, learning_rate=0.005, clip_norm=1.0),
    "fashion-ste_sign-sgd0.1": RunConfig(**FASHION, optimizer="sgd", learning_rate=0.1),
    **{
        f"fashion-smooth-kernels-to{stop}": RunConfig(**KERNELS, kernel_sharpness=(1, stop))
        for stop in (10, 100, 1000)
    },
    **{
        f"fashion-smooth-inputs-to{stop}": RunConfig(**INPUTS, input_sharpness=(1, stop))
        for stop in (3, 10, 100)
    },
    **{
        f"fashion-smooth-inputs-to{stop}-hard": RunConfig(
            **INPUTS, input_sharpness=(1, stop), hard_forward_from=0.0
        )
        for stop in (1, 3, 10)
    },
    **{
        f"fashion-smooth-inputs-to3-hard-lr{rate}": RunConfig(
            **{**INPUTS, "learning_rate": rate}, input_sharpness=(1, 3), hard_forward_from=0.0
        )
        for rate in (0.002, 0.01)
    },
    "fashion-smooth-inputs-to10-hard0.8": RunConfig(
        **INPUTS, input_sharpness=(1, 10), hard_forward_from=0.8
    ),
    "fashion-smooth-both-to100": RunConfig(
        **BOTH, kernel_sharpness=(1, 100), input_sharpness=(1, 100)
    ),
    "fashion-smooth-both-to1000-to100": RunConfig(
        **BOTH, kernel_sharpness=(1, 1000), input_sharpness=(1, 100)
    ),
    "fashion-smooth-both-to100-to10": RunConfig(
        **BOTH, kernel_sharpness=(1, 100), input_sharpness=(1, 10)
    ),
    **{
        f"fashion-smooth-both-to{stop}-to3-hard": RunConfig(
            **BOTH, kernel_sharpness=(1, stop), input_sharpness=(1, 3), hard_forward_from=0.0
        )
        for stop in (100, 1000)
    },
    # Hard in the forward pass always, for kernels as for inputs: the tanh gives the gradient alone.
    **{
        f"fashion-smooth-both-to{stop}-hard-to3-hard": RunConfig(
            **BOTH,
            kernel_sharpness=(1, stop),
            input_sharpness=(1, 3),
            hard_forward_from=0.0,
            kernel_hard_forward_from=0.0,
        )
        for stop in (3, 10, 30)
    },
    # The chosen one under the two other laws.
    **{
        f"fashion-smooth-both-to10-hard-to3-hard-{law}": RunConfig(
            **BOTH,
            kernel_sharpness=(1, 10),
            input_sharpness=(1, 3),
            sharpness_law=law,
            hard_forward_from=0.0,
            kernel_hard_forward_from=0.0,
        )
        for law in ("linear", "hashnet")
    },
    "fashion-smooth-kernels-to10-hard": RunConfig(
        **KERNELS, kernel_sharpness=(1, 10), kernel_hard_forward_from=0.0
    ),
    "fashion-smooth-both-to100-to3-hard0.5": RunConfig(
        **BOTH, kernel_sharpness=(1, 100), input_sharpness=(1, 3), hard_forward_from=0.5
    ),
    **{
        f"fashion-smooth-both-to100-to3-hard-{name}": RunConfig(
            **{**BOTH, **change},
            kernel_sharpness=(1, 100),
            input_sharpness=(1, 3),
            hard_forward_from=0.0,
        )
        for name, change in {
            "hold0.3": {"sharpness_hold": 0.3},
            "linear": {"sharpness_law": "linear"},
            "scale3": {"kernel_scale": 3.0},
            "no_clip": {"kernel_constraint": "none"},
            "lr0.002": {"learning_rate": 0.002},
            "lr0.01": {"learning_rate": 0.01},
        }.items()
    },
    **{
        f"fashion-tuned-lns-scale{scale}": RunConfig(**LEARNED, residual_scale=scale)
        for scale in (0.01, 0.03, 0.3, 1.0)
    },
    **{
        f"fashion-tuned-lns-{mapping}": RunConfig(**LEARNED, mapping=mapping)
        for mapping in ("depthwise", "bottleneck")
    },
    "fashion-tuned-lns-random": RunConfig(**LEARNED, mapping_start="random"),
    # The paper's optimizer and learning rate, and plain fine-tuning with it.
    **{
        f"{name}-sgd": RunConfig(**{**settings, "optimizer": "sgd", "learning_rate": 0.01})
        for name, settings in (
            ("fashion-tuned", TUNED),
            ("fashion-tuned-lns", LEARNED),
            ("fashion-tuned-lns-scale1", {**LEARNED, "residual_scale": 1.0}),
        )
    },
    **{
        f"fashion-tuned-lns-alpha{weight}": RunConfig(**LEARNED, auxiliary_weight=weight)
        for weight in (1.0, 0.1, 0.001, 0.0)
    },
    **{
        f"fashion-tuned-lns-rho{rate}": RunConfig(**LEARNED, noise_rate=(rate, rate))
        for rate in (0.05, 0.2, 0.3)
    },
    **{
        f"{name}-lr{rate}": RunConfig(**{**settings, "learning_rate": rate})
        for name, settings in (("fashion-tuned", TUNED), ("fashion-tuned-lns", LEARNED))
        for rate in (0.0003, 0.003)
    },
    **{
        f"fashion-latent-{name}": RunConfig(**LATENT, **settings)
        for name, settings in {
            "real": twin(1.0, 0.0, 0.0),
            "distillation": twin(0.0, 1.0, 0.0),
            "features": twin(0.0, 0.0, 1.0),
            "real-distillation": twin(1.0, 1.0, 0.0),
            "real-distillation-t1": {**twin(1.0, 1.0, 0.0), "temperature": 1.0},
            "real-distillation-weak": twin(1.0, 0.1, 0.0),
            "real-distillation0.3": twin(1.0, 0.3, 0.0),
            "real-features": twin(1.0, 0.0, 1.0),
            "all": twin(1.0, 1.0, 1.0),
            "real0.05-distillation0.1-plain": {**twin(0.05, 0.1, 0.0), "balance_gradient": False},
            "real-distillation-until0.5": {**twin(1.0, 0.1, 0.0), "latent_until": 0.5},
            "real0.1-distillation0.1": twin(0.1, 0.1, 0.0),
            **{
                f"{name}-stem": twin(*weights, share="stem")
                for name, weights in {
                    "real": (1.0, 0.0, 0.0),
                    "distillation": (0.0, 1.0, 0.0),
                    "real-distillation-weak": (1.0, 0.1, 0.0),
                    "real-distillation0.3": (1.0, 0.3, 0.0),
                    "real-distillation": (1.0, 1.0, 0.0),
                    "real-features": (1.0, 0.0, 1.0),
                    "all-weak": (1.0, 0.1, 1.0),
                }.items()
            },
            "real-distillation0.3-t1-stem": {
                **twin(1.0, 0.3, 0.0, share="stem"),
                "temperature": 1.0,
            },
            "real-distillation0.3-stem-plain": {
                **twin(1.0, 0.3, 0.0, share="stem"),
                "balance_gradient": False,
            },
            "real-distillation-weak-separate": twin(1.0, 0.1, 0.0, share="none"),
            **{
                f"mixture-until{until}": {"latent": "mixture", "latent_until": until}
                for until in (0.1, 0.3, 0.8)
            },
            "gradient": {"latent": "gradient"},
            "gradient0.1": {"latent": "gradient", "gradient_weight": 0.1},
            "gradient-until0.5": {"latent": "gradient", "latent_until": 0.5},
        }.items()
    },
    **{name: RunConfig(**LATENT) for name in TEACHERS},
    **{
        f"omniglot-{name}-lr{rate}": RunConfig(**OMNIGLOT, **options, learning_rate=rate)
        for name, options in (("ste_sign", {}), ("float", REAL))
        for rate in (0.002, 0.005, 0.01)
    },
    **{
        f"{data}-contrast-{source}{where}-lambda{weight}-tau{temperature}": RunConfig(
            **settings,
            contrast=source,
            contrast_weight=weight,
            contrast_temperature=temperature,
            contrast_taps=taps,
        )
        for data, settings in (("fashion", CONTRAST), ("omniglot", MANY_CLASSES))
        for source in ("batch", "queue", "bank")
        for where, taps in (("", "last"), ("-all_layers", "all"))
        for weight in (0.01, 0.03, 0.1, 0.3, 1.0)
        for temperature in (0.1, 0.3, 1.0)
    },
    "fashion-contrast-bank-lambda3.2-tau0.1": RunConfig(
        **CONTRAST, contrast="bank", contrast_weight=3.2, contrast_temperature=0.1
    ),
}
"""What the settings of the other experiments were chosen among, in screening."""

EXPERIMENTS = {
    # `fashion-ste_sign` again, on the machine of those that are compared with it. Its first
    # rows were written under that name and renamed.
    "fashion-pretrained": RunConfig(**FASHION, learning_rate=0.005),
    "fashion-tuned": RunConfig(**TUNED),
    "fashion-tuned-mapping": RunConfig(**LEARNED, noise_rate=(0.0, 0.0)),
    "fashion-tuned-lns": RunConfig(**LEARNED),
    "fashion-float": RunConfig(**FASHION, **REAL, learning_rate=0.003),
    "fashion-ste_sign": RunConfig(**FASHION, learning_rate=0.005),
    # What the signs of kernels cost by themselves, and so about what better ones can give.
    "fashion-real_kernels": RunConfig(**FASHION, kernel_quantizer="none", learning_rate=0.005),
    # Twice the epochs, for about the time of a twin, whose step takes about twice as long: what
    # the twin is compared with at equal time (`EQUAL_TIME`).
    "fashion-ste_sign-e24": RunConfig(**{**FASHION, "epochs": 24}, learning_rate=0.005),
    # Signs in binary batch normalization, as smooth inputs have it, which also puts a sign in front
    # of the last pooling.
    "fashion-ste_sign-binary_norm": RunConfig(**BINARY_NORM),
    "fashion-smooth-kernels": RunConfig(**KERNELS, kernel_sharpness=(1, 100), sharpness_hold=0.2),
    "fashion-smooth-inputs": RunConfig(**INPUTS, input_sharpness=(1, 3), hard_forward_from=0.0),
    "fashion-smooth-both": RunConfig(
        **BOTH,
        kernel_sharpness=(1, 100),
        input_sharpness=(1, 3),
        sharpness_hold=0.2,
        hard_forward_from=0.0,
    ),
    # Hard in the forward pass at the end, so that the network that trains is the one that ships.
    "fashion-smooth-kernels-end": RunConfig(
        **KERNELS, kernel_sharpness=(1, 100), sharpness_hold=0.2, kernel_hard_forward_from=0.8
    ),
    "fashion-smooth-both-end": RunConfig(
        **BOTH,
        kernel_sharpness=(1, 100),
        input_sharpness=(1, 3),
        sharpness_hold=0.2,
        hard_forward_from=0.0,
        kernel_hard_forward_from=0.8,
    ),
    # Chosen among the variants.
    "fashion-smooth-kernels-hard": VARIANTS["fashion-smooth-kernels-to10-hard"],
    "fashion-smooth-both-hard": VARIANTS["fashion-smooth-both-to10-hard-to3-hard"],
    # Without a hard forward pass: the paper's form.
    "fashion-smooth-tanh": RunConfig(
        **BOTH, kernel_sharpness=(1, 100), input_sharpness=(1, 100), sharpness_hold=0.2
    ),
    "omniglot-ste_sign": RunConfig(**MANY_CLASSES),
    "omniglot-float": RunConfig(**OMNIGLOT, **REAL, learning_rate=0.002),
    "cifar10jpeg-resnet20-float": RunConfig(**CIFAR, **REAL, learning_rate=0.003),
    "cifar10jpeg-resnet20-ste_sign": RunConfig(**CIFAR, learning_rate=0.005),
    **VARIANTS,
}

FINE_TUNED = {
    name: "fashion-pretrained" for name in EXPERIMENTS if name.startswith("fashion-tuned")
}
"""Whose networks an experiment goes on with: seed i with that of seed i modulo `PRETRAINED`."""

PRETRAINED = 3

# On the machine of `fashion-pretrained`.
_LATER = ("fashion-latent", "fashion-teacher", "fashion-contrast")

BASELINES = {
    **{name: ("fashion-tuned",) for name in FINE_TUNED if name != "fashion-tuned"},
    # The correction for the noise, beside the mapping.
    "fashion-tuned-lns": ("fashion-tuned", "fashion-tuned-mapping"),
    **{name: ("fashion-ste_sign",) for name in EXPERIMENTS if name.startswith("fashion-smooth")},
    **{
        # The second one for what was screened.
        name: ("fashion-pretrained", "fashion-ste_sign-lr0.005")
        for name in EXPERIMENTS
        if name.startswith(_LATER)
    },
    # What one would do with two trainings instead of one that takes twice as long.
    "fashion-latent-real-distillation0.3-stem": (
        *("fashion-pretrained", "fashion-ste_sign-lr0.005", "fashion-teacher-w1-t1"),
    ),
    **{
        name: ("fashion-ste_sign-binary_norm", "fashion-ste_sign")
        for name, config in EXPERIMENTS.items()
        if name.startswith("fashion-smooth") and config.normalization == "binary"
    },
    **{
        name: ("omniglot-ste_sign", "omniglot-ste_sign-lr0.005")
        for name in EXPERIMENTS
        if name.startswith("omniglot-contrast")
    },
    "fashion-ste_sign-binary_norm": ("fashion-ste_sign",),
    "fashion-float": ("fashion-ste_sign",),
    "fashion-real_kernels": ("fashion-ste_sign",),
    "cifar10jpeg-resnet20-float": ("cifar10jpeg-resnet20-ste_sign",),
}
"""With which experiments an experiment is compared, at equal epochs.

The first one shares everything with it but what is in question; a second one is another question.
"""

EQUAL_TIME = {
    name: "fashion-ste_sign-e24"
    for name, config in EXPERIMENTS.items()
    if config.latent != "none" or name in TEACHERS
}
"""With which one it is compared at about equal time; a teacher's training counts in."""
