"""The settings of a training run: everything that its weights depend on."""

import dataclasses
import hashlib
import json
import os
from typing import Any, Literal

import tf_keras as keras

from kbnn.runs import run_checks
from kbnn.runs.errors import InputError
from kbnn.runs.run_choices import CONTRAST, ENDS, LEARNED_SIGN, option
from kbnn.techniques.contrastive.teacher_contrast import TeacherContrast
from kbnn.techniques.latent_weights.terms import (
    Distillation,
    FeatureAlignment,
    LatentSupervision,
    RealPathLoss,
)
from kbnn.techniques.noisy_supervision.learned_sign import LearnedSign

# Settings that say where something lies.
PLACES = ("data_dir", "pretrained", "teacher")
# What the network that a run goes on with has for good.
_FIXED = (
    *("image_size", "model", "width", "preprocessing", "normalization"),
    *("kernel_constraint", "kernel_scale", *ENDS),
)
# What such a run has of the first one, where nothing else is given.
_INHERITED = (
    *("data", "data_dir", "batch_size", "validation", "augment"),
    *("input_quantizer", "kernel_quantizer", *_FIXED),
)


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """The settings of a training run.

    Settings that depend on others (`width`, `learning_rate`) are filled in, and `data_dir` is made
    absolute, so that two equal configurations are the same run.

    Args:
        data: name of a dataset, as in `kbnn.data.load`.
        data_dir: its directory, as in `kbnn.data.load`.
        image_size: `(height, width)` to resize to; None keeps the size.
        model: a name of `kbnn.runs.run_choices.MODELS`: an architecture of `kbnn.models`;
            "resnet20_plain" has plain shortcuts, "resnet18_small" the stem for small images.
        width: filters of its first layer; None for the builder's default.
        epochs: passes over the training images.
        batch_size: images per step.
        optimizer: "adam" or "sgd" (momentum 0.9).
        learning_rate: the first step's; None for 0.005 with adam, 0.1 with sgd, and for 0.001 and
            0.01 where a network goes on (`pretrained`).
        clip_norm: the gradient of all weights is scaled down to this norm if it is longer; None
            leaves it as it is.
        schedule: "cosine", down to 0 at the last step, or "constant".
        validation: fraction (float) or count (int) of training images held out; 0 for none.
        augment: "none", "crop", "flip" or "both".
        seed: of the initial weights, the split, the order and the augmentation.
        input_quantizer: "ste_sign", "approx_sign", "swish_sign" or "smooth_sign"; "none" puts a
            ReLU in its place.
        kernel_quantizer: one of these, "magnitude_aware_sign" or "learned_sign"; "none" leaves
            kernels real.
        preprocessing: "inside": the model takes uint8 and rescales; "pipeline": it takes float32.
        normalization: "batch", or "binary" in a chain, as the architectures take it.
        kernel_sharpness: `(first, last)` of kernels that are "smooth_sign"; None without them.
        input_sharpness: the same of inputs.
        sharpness_law: how they rise: "geometric".
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
        split_seed: of the split, where that is not `seed`: a run that goes on with a network, or
            has a teacher, has to hold out the images that the first one held out.
        noise_rate: of kernels that are "learned_sign", as `kbnn.quantizers.LearnedSign` takes it,
            a pair; None without them, as the next five.
        auxiliary_weight: its `weight`.
        mapping: its `mapping`.
        mapping_start: its `start`.
        residual_scale: its `residual_scale`; None too where `mapping_start` is "random".
        loss_on: its `loss_on`.
        latent: "twin" trains with a `kbnn.trainers.LatentWeightTrainer`, "mixture" with a
            `LatentMixtureTrainer`, "gradient" with a `LatentGradientTrainer`; "none" with
            Keras only.
        latent_until: share of the training at which the latent weights help no more: the mixture
            is all binary, and the weights of the twin's terms or of the gradient have gone down to
            0, step by step from the first one. None for weights that stay as they are; the
            mixture then ends at 0.3.
        gradient_weight: of "gradient", the `weight`; None without, as the others.
        real_weight: of the twin, the weight of its own loss.
        balance_gradient: of the twin, its `balance_gradient`.
        latent_share: its `share`: names with commas between, or "none".
        distillation_weight: of the twin's or the teacher's distillation; None without either, as
            the next three.
        temperature: of the distillation.
        feature_weight: of the alignment of features.
        teacher_contrast_weight: of a `kbnn.losses.TeacherContrast` with its other defaults.
        teacher: folder of a finished run, of the same data, whose network teaches this one by a
            `kbnn.trainers.DistillationTrainer`; None without.
        teacher_sha256: checksum of that network's file, which is read where it is None.
        contrast: "batch", "queue" or "bank": the source of negatives of a contrastive term between
            real and binary activations (`kbnn.techniques.with_contrast`); "none" without one.
        contrast_weight: its `weight`; None without it, as the next five.
        contrast_temperature: its `temperature`.
        contrast_embedding: its `embedding`.
        contrast_count: its `count`, of "queue" and "bank".
        contrast_taps: where it stands: "last", "all", or names of layers with commas between.
        contrast_decay: of several taps, the `decay` of `with_contrast`.

    Raises:
        InputError: a value out of range, or a name that is not one of the valid ones.

    >>> from kbnn.runs import RunConfig
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
    residual_scale: float | None = None
    loss_on: str | None = None
    latent: str = "none"
    latent_until: float | None = None
    gradient_weight: float | None = None
    real_weight: float | None = None
    balance_gradient: bool | None = None
    latent_share: str | None = None
    distillation_weight: float | None = None
    temperature: float | None = None
    feature_weight: float | None = None
    teacher_contrast_weight: float | None = None
    teacher: str | None = None
    teacher_sha256: str | None = None
    contrast: str = "none"
    contrast_weight: float | None = None
    contrast_temperature: float | None = None
    contrast_embedding: int | None = None
    contrast_count: int | None = None
    contrast_taps: str | None = None
    contrast_decay: float | None = None

    def __post_init__(self) -> None:
        settings = run_checks.completed(vars(self), self._defaults())
        for name, value in settings.items():
            object.__setattr__(self, name, value)

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        return {field.name: field.default for field in dataclasses.fields(cls)}

    @property
    def learned(self) -> tuple[Any, ...]:
        """The settings of "learned_sign", to compare."""
        return tuple(getattr(self, name) for name in LEARNED_SIGN.values())

    def learned_sign(self) -> LearnedSign:
        """The kernel quantizer that the settings of "learned_sign" describe."""
        return run_checks.learned_sign(vars(self))

    def contrast_options(self, rows: int | None = None) -> dict[str, Any]:
        """The arguments of `kbnn.techniques.with_contrast` but for layers."""
        options = {argument: getattr(self, name) for argument, name in CONTRAST.items()}
        negatives = run_checks.negatives(self.contrast, options.pop("count"), rows)
        options |= {"negatives": negatives, "decay": self.contrast_decay}
        return {name: value for name, value in options.items() if value is not None}

    @property
    def shared(self) -> tuple[str, ...]:
        """The argument `share` of the twin."""
        names = self.latent_share or "none"
        return () if names == "none" else tuple(names.split(","))

    def until_end_of_latent(self, first: Any, last: float, steps: int) -> Any:
        """A schedule of a number, or the number where it stays, for a training of `steps`."""
        if self.latent_until is None:
            return first
        mixed = max(1, round(self.latent_until * steps))
        return keras.optimizers.schedules.PolynomialDecay(float(first), mixed, last)

    def supervision(self, steps: int) -> list[LatentSupervision]:
        """The terms of the twin or the teacher, those of features only where they have a weight."""

        def weight(first: Any) -> Any:
            return self.until_end_of_latent(first, 0.0, steps)

        # The others with weight 0 too: the twin's own weights stay in the graph of the loss.
        terms: list[LatentSupervision] = [
            Distillation(weight(self.distillation_weight), self.temperature)
        ]
        if self.latent == "twin":
            terms.insert(0, RealPathLoss(weight(self.real_weight)))
        if self.feature_weight:
            terms.append(FeatureAlignment(weight(self.feature_weight)))
        if self.teacher_contrast_weight:
            terms.append(TeacherContrast(weight(self.teacher_contrast_weight)))
        return terms

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

        >>> from kbnn.runs import RunConfig
        >>> first = RunConfig(data="fashion_mnist_sample", width=8)
        >>> more = RunConfig.going_on(first, "runs/first", epochs=2)       # doctest: +SKIP
        """
        fixed = {name: getattr(run, name) for name in _FIXED}
        other = [name for name in _FIXED if name in given and given[name] != fixed[name]]
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
        kept = {name: getattr(run, name) for name in _INHERITED}
        learned = "learned_sign"
        if run.kernel_quantizer == learned == given.get("kernel_quantizer", learned):
            kept |= {name: getattr(run, name) for name in LEARNED_SIGN.values()}
            if given.get("mapping_start", run.mapping_start) != run.mapping_start:
                kept["residual_scale"] = None
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
        defaults = self._defaults()
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
