"""The settings of a training run: everything that its weights depend on."""

import dataclasses
import functools
import hashlib
import inspect
import json
import math
import os
import pathlib
from collections.abc import Callable
from typing import Any, Literal

import tf_keras as keras

from kbnn import models
from kbnn.callbacks.sharpness_schedule import LAWS as SHARPNESS_LAWS
from kbnn.cli.errors import InputError
from kbnn.losses import Distillation, FeatureAlignment, LatentSupervision, RealPathLoss
from kbnn.quantizers import LearnedSign

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
# Of smooth signs: first and last sharpness where none are given.
SHARPNESS = {"kernel_sharpness": (1.0, 100.0), "input_sharpness": (1.0, 10.0)}
# Of learned signs: `kbnn.quantizers.LearnedSign`'s arguments, and the settings that they are here.
_LEARNED_SIGN = {
    "noise_rate": "noise_rate",
    "weight": "auxiliary_weight",
    "mapping": "mapping",
    "start": "mapping_start",
    "loss_on": "loss_on",
}
# Those settings where none are given.
LEARNED = {
    name: inspect.signature(LearnedSign).parameters[argument].default
    for argument, name in _LEARNED_SIGN.items()
}
# Ways to train with the latent weights: `kbnn.training`'s models.
LATENT = ("none", "twin", "mixture", "gradient")
# Of the twin: weights of its terms and the temperature, where none are given.
TWIN = {
    "real_weight": 1.0,
    "distillation_weight": 1.0,
    "temperature": 4.0,
    "feature_weight": 0.0,
}
# Chains; in the others binary normalization and the settings of `ENDS` have no place.
CHAINS = ("vgg_tiny", "vgg_small", "alexnet")
ENDS = ("binary_stem", "binary_classifier")
# A technique by its name: the settings that it stands for.
METHODS: dict[str, dict[str, Any]] = {
    "self-binarizing": {
        "input_quantizer": "smooth_sign",
        "kernel_quantizer": "smooth_sign",
        "normalization": "binary",
        "input_sharpness": (1.0, 3.0),
        "hard_forward_from": 0.0,
    },
    "noisy-supervision": {"kernel_quantizer": "learned_sign"},
    "latent-weights": {"latent": "twin"},
}
# What the network that a run goes on with has for good.
FIXED = (
    *("image_size", "model", "width", "preprocessing", "normalization"),
    *("kernel_constraint", "kernel_scale", *ENDS),
)
# What such a run has of the first one, where nothing else is given.
INHERITED = (
    *("data", "data_dir", "batch_size", "validation", "augment"),
    *("input_quantizer", "kernel_quantizer", *FIXED),
)

# Settings that say where something lies.
PLACES = ("data_dir", "pretrained")

_CHOICES = {
    "model": tuple(MODELS),
    "optimizer": tuple(OPTIMIZERS),
    "schedule": SCHEDULES,
    "augment": AUGMENTATIONS,
    "preprocessing": PREPROCESSING,
    "input_quantizer": INPUT_QUANTIZERS,
    "kernel_quantizer": KERNEL_QUANTIZERS,
    "normalization": NORMALIZATIONS,
    "sharpness_law": SHARPNESS_LAWS,
    "kernel_constraint": KERNEL_CONSTRAINTS,
    "latent": LATENT,
}


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """The settings of a training run.

    Settings that depend on others (`width`, `learning_rate`) are filled in, and `data_dir` is made
    absolute, so that two equal configurations are the same run.

    Args:
        data: name of a dataset, as in `kbnn.data.load`.
        data_dir: its directory, as in `kbnn.data.load`.
        image_size: `(height, width)` to resize to; None keeps the size.
        model: a name of `MODELS`: an architecture of `kbnn.models`; "resnet20_plain" has plain
            shortcuts, "resnet18_small" the stem for small images.
        width: filters of its first layer; None for the builder's default.
        epochs: passes over the training images.
        batch_size: images per step.
        optimizer: "adam" or "sgd" (momentum 0.9).
        learning_rate: the first step's; None for 0.005 with adam, 0.1 with sgd.
        clip_norm: the gradient of all weights is scaled down to this norm if it is longer; None
            leaves it as it is.
        schedule: "cosine", down to 0 at the last step, or "constant".
        validation: fraction (float) or count (int) of training images held out; 0 for none.
        augment: "none", "crop", "flip" or "both".
        seed: of the initial weights, the split, the order and the augmentation.
        input_quantizer: a name of `INPUT_QUANTIZERS`; "none" puts a ReLU in its place.
        kernel_quantizer: a name of `KERNEL_QUANTIZERS`; "none" leaves kernels real.
        preprocessing: "inside": the model takes uint8 and rescales; "pipeline": it takes float32.
        normalization: "batch", or "binary" in a chain, as the architectures take it.
        kernel_sharpness: `(first, last)` of kernels that are "smooth_sign"; None without them.
        input_sharpness: the same of inputs.
        sharpness_law: how they rise, as `kbnn.callbacks.SharpnessSchedule` takes it.
        sharpness_hold: share of the training, at its end, with the last sharpness.
        hard_forward_from: share of the training after which smooth signs of inputs are hard in the
            forward pass; 1 for never.
        kernel_hard_forward_from: the same for those of kernels.
        kernel_constraint: of binary kernels' latent values: "weight_clip", to -1 to 1, or "none".
        kernel_scale: factor of their initial values, which are Glorot's.
        binary_stem: whether the first layer of a chain is binary too.
        binary_classifier: whether its last one is.
        pretrained: folder of a finished run whose network this one goes on with; None begins with
            fresh weights. See `going_on`.
        pretrained_sha256: checksum of that network's file, which is read where it is None.
        split_seed: of the split, where that is not `seed`: a run that goes on with a network has
            to hold out the images that the first one held out.
        noise_rate: of kernels that are "learned_sign", as `kbnn.quantizers.LearnedSign` takes it,
            a pair; None without them, as the next four.
        auxiliary_weight: its `weight`.
        mapping: its `mapping`.
        mapping_start: its `start`.
        loss_on: its `loss_on`.
        latent: "twin" trains with a `kbnn.training.LatentWeightModel`, "mixture" with a
            `LatentMixtureModel`, whose layers are binary for the last fifth of the training,
            "gradient" with a `LatentGradientModel`; "none" with Keras alone.
        real_weight: of the twin, the weight of its own loss; None without one, as the next three.
        distillation_weight: of the distillation.
        temperature: of the distillation.
        feature_weight: of the alignment of features.

    Raises:
        InputError: a value out of range, or a name that is not one of the valid ones.

    >>> from kbnn.cli import RunConfig
    >>> config = RunConfig(data="fashion_mnist_sample", epochs=3)
    >>> config.width, config.learning_rate
    (32, 0.005)
    """

    data: str
    data_dir: str | None = None
    image_size: tuple[int, int] | None = None
    model: str = "vgg_tiny"
    width: int | None = None
    epochs: int = 20
    batch_size: int = 128
    optimizer: str = "adam"
    learning_rate: float | None = None
    clip_norm: float | None = None
    schedule: str = "cosine"
    validation: float | int = 0.1
    augment: str = "none"
    seed: int = 0
    input_quantizer: str = "ste_sign"
    kernel_quantizer: str = "ste_sign"
    preprocessing: str = "inside"
    normalization: str = "batch"
    kernel_sharpness: tuple[float, float] | None = None
    input_sharpness: tuple[float, float] | None = None
    sharpness_law: str = "geometric"
    sharpness_hold: float = 0.05
    hard_forward_from: float = 1.0
    kernel_hard_forward_from: float = 1.0
    kernel_constraint: str = "weight_clip"
    kernel_scale: float = 1.0
    binary_stem: bool = False
    binary_classifier: bool = False
    pretrained: str | None = None
    pretrained_sha256: str | None = None
    split_seed: int | None = None
    noise_rate: tuple[float, float] | None = None
    auxiliary_weight: float | None = None
    mapping: str | None = None
    mapping_start: str | None = None
    loss_on: str | None = None
    latent: str = "none"
    real_weight: float | None = None
    distillation_weight: float | None = None
    temperature: float | None = None
    feature_weight: float | None = None

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(
                    f"Expected {option(name)} to be one of {', '.join(choices)}. "
                    f"Received: {getattr(self, name)!r}"
                )
        defaults = {
            "width": inspect.signature(MODELS[self.model]).parameters["width"].default,
            "learning_rate": OPTIMIZERS[self.optimizer],
        }
        for name, default in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)
        if self.data_dir is not None:
            object.__setattr__(self, "data_dir", os.path.abspath(self.data_dir))
        if self.image_size is not None:
            object.__setattr__(self, "image_size", tuple(self.image_size))
        for name in SHARPNESS:
            self._check_sharpness(name)
        self._check_learned()
        self._check_twin()
        self._check_pretrained()
        for name in ("hard_forward_from", "kernel_hard_forward_from", "sharpness_hold"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise InputError(
                    f"Expected {option(name)} to be a share, from 0 to 1. Received: {share}"
                )
        self._check_needed()
        for name in ENDS:
            if not isinstance(getattr(self, name), bool):
                raise InputError(
                    f"Expected {option(name)} to be True or False. Received: {getattr(self, name)}"
                )
        for name in ("width", "epochs", "batch_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise InputError(
                    f"Expected {option(name)} to be a positive integer. Received: {value!r}"
                )
        for name, seed in {"seed": self.seed, "split_seed": self.split}.items():
            if not isinstance(seed, int) or not 0 <= seed < 2**32:
                raise InputError(
                    f"Expected {option(name)} to be an integer in [0, 2**32). Received: {seed!r}"
                )
        for name in ("learning_rate", "clip_norm", "kernel_scale"):
            value = getattr(self, name)
            if name == "clip_norm" and value is None:
                continue
            if not isinstance(value, float | int) or not (math.isfinite(value) and value > 0):
                raise InputError(
                    f"Expected {option(name)} to be a positive, finite number. Received: {value!r}"
                )

    def _check_needed(self) -> None:
        """Raise InputError for a setting that has no effect beside the others."""
        signs = {self.kernel_quantizer, self.input_quantizer}
        binary = self.kernel_quantizer != "none"
        needs = {
            "sharpness_law": ("smooth_sign" in signs, "a smooth_sign"),
            "sharpness_hold": ("smooth_sign" in signs, "a smooth_sign"),
            "hard_forward_from": (
                self.input_quantizer == "smooth_sign",
                "--input-quantizer smooth_sign",
            ),
            "kernel_hard_forward_from": (
                self.kernel_quantizer == "smooth_sign",
                "--kernel-quantizer smooth_sign",
            ),
            "kernel_constraint": (binary, "a --kernel-quantizer"),
            "kernel_scale": (binary, "a --kernel-quantizer"),
            "latent": (binary, "a --kernel-quantizer"),
        }
        chain = self.model in CHAINS and "none" not in signs
        needs |= {name: (chain, f"--model {', '.join(CHAINS)} and quantizers") for name in ENDS}
        for name, (fulfilled, what) in needs.items():
            default = getattr(type(self), name)
            if not fulfilled and getattr(self, name) != default:
                raise InputError(
                    f"Expected {option(name)} with {what} alone. Received: --model {self.model}, "
                    f"--kernel-quantizer {self.kernel_quantizer}, --input-quantizer "
                    f"{self.input_quantizer}"
                )

    def _check_sharpness(self, name: str) -> None:
        quantizer = name.replace("sharpness", "quantizer")
        value = getattr(self, name)
        if getattr(self, quantizer) != "smooth_sign":
            if value is not None:
                raise InputError(
                    f"Expected {option(name)} with {option(quantizer)} smooth_sign alone. "
                    f"Received: {option(quantizer)} {getattr(self, quantizer)}"
                )
            return
        value = SHARPNESS[name] if value is None else tuple(value)
        if len(value) != 2 or not all(0 < end <= 1e30 for end in value):
            raise InputError(
                f"Expected {option(name)} to be two positive numbers. Received: {value}"
            )
        object.__setattr__(self, name, value)

    def _check_learned(self) -> None:
        given = [name for name in LEARNED if getattr(self, name) is not None]
        if self.kernel_quantizer != "learned_sign":
            if given:
                raise InputError(
                    f"Expected {option(given[0])} with --kernel-quantizer learned_sign alone. "
                    f"Received: --kernel-quantizer {self.kernel_quantizer}"
                )
            return
        for name, default in LEARNED.items():
            value = getattr(self, name)
            object.__setattr__(self, name, default if value is None else value)
        rate = self.noise_rate
        pair = tuple(rate) if isinstance(rate, tuple | list) else (rate, rate)
        object.__setattr__(self, "noise_rate", pair)
        try:
            self.learned_sign()
        except ValueError as error:
            message = str(error)
            rates = {"rate_positive": "noise_rate", "rate_negative": "noise_rate"}
            for argument, name in {**_LEARNED_SIGN, **rates}.items():
                message = message.replace(f"`{argument}`", option(name))
            raise InputError(message) from error

    def _check_twin(self) -> None:
        given = [name for name in TWIN if getattr(self, name) is not None]
        if self.latent != "twin":
            if given:
                raise InputError(
                    f"Expected {option(given[0])} with --latent twin alone. "
                    f"Received: --latent {self.latent}"
                )
            return
        for name, default in TWIN.items():
            value = default if getattr(self, name) is None else getattr(self, name)
            object.__setattr__(self, name, value)
            is_number = isinstance(value, float | int) and math.isfinite(value)
            if not is_number or value < 0 or (name == "temperature" and value == 0):
                least = "above 0" if name == "temperature" else "from 0 on"
                raise InputError(
                    f"Expected {option(name)} to be a number {least}. Received: {value!r}"
                )

    def _check_pretrained(self) -> None:
        if self.pretrained is None:
            return
        object.__setattr__(self, "pretrained", os.path.abspath(self.pretrained))
        if self.pretrained_sha256 is None:
            file = pathlib.Path(self.pretrained) / "model.keras"
            if not file.is_file():
                raise InputError(
                    "Expected --from to be the folder of a finished run, with model.keras. "
                    f"Received: {self.pretrained}"
                )
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            object.__setattr__(self, "pretrained_sha256", digest)

    @property
    def learned(self) -> tuple[Any, ...]:
        """The settings of "learned_sign", to compare."""
        return tuple(getattr(self, name) for name in LEARNED)

    def learned_sign(self) -> LearnedSign:
        """The kernel quantizer that the settings of "learned_sign" describe."""
        return LearnedSign(
            **{argument: getattr(self, name) for argument, name in _LEARNED_SIGN.items()}
        )

    def supervision(self) -> list[LatentSupervision]:
        """The terms of the twin; those without weight have no part in it."""
        # With weight 0 too, the loss of the twin keeps its own weights in the graph.
        terms: list[LatentSupervision] = [
            RealPathLoss(self.real_weight),
            Distillation(self.distillation_weight, self.temperature),
        ]
        return [*terms, FeatureAlignment(self.feature_weight)] if self.feature_weight else terms

    @classmethod
    def going_on(
        cls, run: "RunConfig", folder: str | os.PathLike[str], **given: Any
    ) -> "RunConfig":
        """The settings of a run that goes on with the network of another one.

        Args:
            run: the settings of the first run.
            folder: its folder.
            **given: settings of the new run. Those that are not given are the first run's where
                they are about data and network, the same images are held out, and the rest (epochs,
                optimizer, learning rate, seed) have their defaults.

        Raises:
            InputError: a setting that the network cannot change any more; or as the class.

        >>> from kbnn.cli import RunConfig
        >>> first = RunConfig(data="fashion_mnist_sample", width=8)
        >>> more = RunConfig.going_on(first, "runs/first", epochs=2)       # doctest: +SKIP
        """
        fixed = {name: getattr(run, name) for name in FIXED}
        other = [name for name in FIXED if name in given and given[name] != fixed[name]]
        if other:
            raise InputError(
                f"Expected {option(other[0])} {fixed[other[0]]}, as the network in {folder} has "
                f"it, or none. Received: {given[other[0]]}"
            )
        for name in ("kernel_quantizer", "input_quantizer"):
            if getattr(run, name) == "none" and given.get(name, "none") != "none":
                raise InputError(
                    f"Expected --from a run with {option(name)}, which another one can replace. "
                    f"Received: {folder}, without one"
                )
        kept = {name: getattr(run, name) for name in INHERITED}
        learned = "learned_sign"
        if run.kernel_quantizer == learned == given.get("kernel_quantizer", learned):
            kept |= {name: getattr(run, name) for name in LEARNED}
        # Of smooth signs that stay, the whole of their schedule.
        of_schedule: dict[str, tuple[str, ...]] = {
            "kernel": ("kernel_sharpness", "kernel_hard_forward_from"),
            "input": ("input_sharpness", "hard_forward_from"),
        }
        for kind, names in of_schedule.items():
            if given.get(f"{kind}_quantizer", kept[f"{kind}_quantizer"]) == "smooth_sign":
                names = (*names, "sharpness_law", "sharpness_hold")
                kept |= {name: getattr(run, name) for name in names}
        return cls(**{**kept, "split_seed": run.split, "pretrained": str(folder), **given})

    @property
    def split(self) -> int:
        """The seed of the split."""
        return self.seed if self.split_seed is None else self.split_seed

    @property
    def normalize(self) -> Literal["none", "pipeline"]:
        """The argument `normalize` of `kbnn.data.load` that fits the model."""
        return "none" if self.preprocessing == "inside" else "pipeline"

    def to_dict(self) -> dict[str, Any]:
        """The settings, ready for JSON."""
        return dataclasses.asdict(self)

    def digest(self) -> str:
        """A checksum of what the weights depend on; files may move, so where they lie is left out.

        Settings at their defaults are left out too, so that new ones leave old checksums alone.
        """
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        settings = {
            name: value
            for name, value in self.to_dict().items()
            if name not in PLACES and value != defaults[name]
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    @classmethod
    def from_dict(cls, settings: Any) -> "RunConfig":
        """The inverse of `to_dict`.

        Raises:
            InputError: the settings are not those of a run, or out of range.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        # Settings that came later have defaults under which earlier runs stay what they were.
        if not isinstance(settings, dict) or not {"data"} <= set(settings) <= names:
            received = sorted(settings) if isinstance(settings, dict) else settings
            raise InputError(f"Expected the settings {sorted(names)}. Received: {received}")
        return cls(**settings)


def option(name: str) -> str:
    """A setting's name on the command line."""
    return "--" + name.replace("_", "-")
