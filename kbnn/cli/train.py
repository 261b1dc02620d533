"""`kbnn train`: a reproducible, resumable training run."""

import contextlib
import os
import pathlib
import shlex
import signal
from collections.abc import Collection, Iterator
from typing import Annotated, Any

import typer
from rich.table import Table

from kbnn.cli import options
from kbnn.cli.output import exit_codes, note, only_results_on_stdout, show
from kbnn.cli.progress import epoch_progress
from kbnn.runs.folder import RunFolder
from kbnn.runs.run import train_run
from kbnn.runs.run_choices import (
    AUGMENTATIONS,
    CONTRASTS,
    DEFAULTS,
    INPUT_QUANTIZERS,
    KERNEL_CONSTRAINTS,
    KERNEL_QUANTIZERS,
    LATENT,
    METHODS,
    MIXED_UNTIL,
    MODELS,
    NORMALIZATIONS,
    OPTIMIZERS,
    PREPROCESSING,
    SCHEDULES,
    TEACHER_DISTILLATION,
    TUNING_RATES,
    TWIN_DISTILLATION,
)
from kbnn.runs.run_config import RunConfig
from kbnn.runs.run_request import remarks, requested
from kbnn.techniques.contrastive.with_contrast import DEFAULT_DECAY
from kbnn.techniques.noisy_supervision.filter_mapping import MAPPINGS
from kbnn.techniques.noisy_supervision.learned_sign import LOSS_ON, STARTS

_TEACHING = "twin or teacher"


def _ends(kind: str) -> str:
    return ":".join(f"{end:g}" for end in DEFAULTS[f"{kind}_sharpness"])


def _setting(
    help: str, name: str, choices: Collection[str] = (), *, default: str | None = None
) -> Any:
    """An option whose value is None unless it is given, so that --resume can tell."""
    default = str(getattr(RunConfig, name)) if default is None else default
    return typer.Option(
        help=f"{help} (default: {default})",
        metavar="|".join(choices) or None,
        show_default=False,
    )


def _supervision_setting(of: str, help: str, name: str) -> Any:
    return _setting(f"Of the {of}: {help}.", name, default=str(DEFAULTS[name]))


def _distillation_setting(help: str, name: str) -> Any:
    default = (
        f"{TWIN_DISTILLATION[name]:g} of the twin, {TEACHER_DISTILLATION[name]:g} of a teacher"
    )
    return _setting(f"Of the {_TEACHING}: {help}.", name, default=default)


def _contrast_setting(help: str, name: str, default: str | None = None) -> Any:
    default = str(DEFAULTS[name]) if default is None else default
    return _setting(f"Of the contrastive term: {help}.", name, default=default)


@exit_codes
def train(
    run: Annotated[
        pathlib.Path,
        typer.Option(help="Folder of the run; a new one, or with --resume its own."),
    ],
    data: options.Data = None,
    data_dir: options.DataDir = None,
    image_size: Annotated[
        str | None,
        typer.Option(
            help="HEIGHTxWIDTH to resize to; needed for image folders.", show_default=False
        ),
    ] = None,
    model: Annotated[str | None, _setting("Architecture.", "model", tuple(MODELS))] = None,
    width: Annotated[
        int | None, _setting("Filters of the first layer.", "width", default="the architecture's")
    ] = None,
    epochs: Annotated[int | None, _setting("Passes over the images.", "epochs")] = None,
    batch_size: Annotated[int | None, _setting("Images per step.", "batch_size")] = None,
    optimizer: Annotated[
        str | None, _setting("sgd has a momentum of 0.9.", "optimizer", tuple(OPTIMIZERS))
    ] = None,
    learning_rate: Annotated[
        float | None,
        _setting(
            "Learning rate of the first step.",
            "learning_rate",
            default=", ".join(
                f"{rate} with {name} ({TUNING_RATES[name]} with --from)"
                for name, rate in OPTIMIZERS.items()
            ),
        ),
    ] = None,
    clip_norm: Annotated[
        float | None,
        _setting("Scale longer gradients down to this norm.", "clip_norm", default="no clipping"),
    ] = None,
    schedule: Annotated[
        str | None,
        _setting("Of the learning rate: a cosine down to 0.", "schedule", SCHEDULES),
    ] = None,
    validation: Annotated[
        float | None,
        _setting("Training images held out: a fraction, a count, or 0.", "validation"),
    ] = None,
    augment: Annotated[
        str | None, _setting("Random changes to training images.", "augment", AUGMENTATIONS)
    ] = None,
    seed: Annotated[
        int | None, _setting("Of initial weights, split, order and augmentation.", "seed")
    ] = None,
    input_quantizer: Annotated[
        str | None,
        _setting("Of binary layers' inputs; none: a ReLU.", "input_quantizer", INPUT_QUANTIZERS),
    ] = None,
    kernel_quantizer: Annotated[
        str | None,
        _setting("Of binary layers' kernels; none: real.", "kernel_quantizer", KERNEL_QUANTIZERS),
    ] = None,
    preprocessing: Annotated[
        str | None,
        _setting(
            "inside: the model takes uint8 images and rescales them; pipeline: it takes float32 "
            "in -1 to 1.",
            "preprocessing",
            PREPROCESSING,
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="A technique, in place of the settings that are not given: self-binarizing has "
            "smooth signs (to 3, of kernels to 10; hard in the forward pass) and, in chains, "
            "binary normalization; noisy-supervision learned signs of kernels; latent-weights a "
            "real-valued twin that teaches the network; contrastive a term that has binary "
            "activations tell of their real-valued sources. (default: straight-through gradients)",
            metavar="|".join(METHODS),
            show_default=False,
        ),
    ] = None,
    normalization: Annotated[
        str | None,
        _setting(
            "binary: batch normalization and sign in one, in chains.",
            "normalization",
            NORMALIZATIONS,
        ),
    ] = None,
    kernel_sharpness: Annotated[
        str | None,
        _setting("Of smooth signs of kernels.", "kernel_sharpness", default=_ends("kernel")),
    ] = None,
    input_sharpness: Annotated[
        str | None,
        _setting("Of smooth signs of inputs.", "input_sharpness", default=_ends("input")),
    ] = None,
    hard_forward_from: Annotated[
        float | None,
        _setting(
            "Share of the training after which smooth signs of inputs are hard in the forward "
            "pass.",
            "hard_forward_from",
        ),
    ] = None,
    kernel_hard_forward_from: Annotated[
        float | None,
        _setting("The same for smooth signs of kernels.", "kernel_hard_forward_from"),
    ] = None,
    sharpness_hold: Annotated[
        float | None,
        _setting("Share of the training, at its end, with the last sharpness.", "sharpness_hold"),
    ] = None,
    kernel_constraint: Annotated[
        str | None,
        _setting("Of binary kernels' latent values.", "kernel_constraint", KERNEL_CONSTRAINTS),
    ] = None,
    kernel_scale: Annotated[
        float | None, _setting("Factor of binary kernels' initial values.", "kernel_scale")
    ] = None,
    binary_stem: Annotated[
        bool | None,
        typer.Option("--binary-stem", help="Make the first layer binary too, in chains."),
    ] = None,
    binary_classifier: Annotated[
        bool | None,
        typer.Option("--binary-classifier", help="Make the last layer binary too, in chains."),
    ] = None,
    pretrained: Annotated[
        pathlib.Path | None,
        typer.Option(
            "--from",
            help="Folder of a finished run, whose network and data this one goes on with.",
            show_default=False,
        ),
    ] = None,
    noise_rate: Annotated[
        str | None,
        _setting(
            "Of learned signs: the share of weights whose label is wrong; of those whose best sign "
            "is +1 and of those whose is -1 as A:B.",
            "noise_rate",
            default="0.1",
        ),
    ] = None,
    auxiliary_weight: Annotated[
        float | None,
        _setting(
            "Of learned signs: weight of the auxiliary loss.",
            "auxiliary_weight",
            default=str(DEFAULTS["auxiliary_weight"]),
        ),
    ] = None,
    mapping: Annotated[
        str | None,
        _setting("Of learned signs.", "mapping", MAPPINGS, default=str(DEFAULTS["mapping"])),
    ] = None,
    mapping_start: Annotated[
        str | None,
        _setting(
            "Of learned signs: residual begins with the signs of the latent weights.",
            "mapping_start",
            STARTS,
            default=str(DEFAULTS["mapping_start"]),
        ),
    ] = None,
    residual_scale: Annotated[
        float | None,
        _setting(
            "Of learned signs: factor of the mapping beside the latent weights.",
            "residual_scale",
            default=str(DEFAULTS["residual_scale"]),
        ),
    ] = None,
    loss_on: Annotated[
        str | None,
        _setting(
            "Of learned signs: what the auxiliary loss takes.",
            "loss_on",
            LOSS_ON,
            default=str(DEFAULTS["loss_on"]),
        ),
    ] = None,
    latent: Annotated[
        str | None,
        _setting(
            "How the latent weights help: as a real-valued twin, in a mixture with the binary "
            "layers, or in the gradient.",
            "latent",
            LATENT,
        ),
    ] = None,
    latent_until: Annotated[
        float | None,
        _setting(
            "Share of the training at which latent weights help no more; their weight goes down to "
            "0 until then, step by step.",
            "latent_until",
            default=f"{MIXED_UNTIL} for the mixture; else the weight stays",
        ),
    ] = None,
    gradient_weight: Annotated[
        float | None,
        _setting(
            "Of --latent gradient: its weight.",
            "gradient_weight",
            default=str(DEFAULTS["gradient_weight"]),
        ),
    ] = None,
    real_weight: Annotated[
        float | None, _supervision_setting("twin", "weight of its own loss", "real_weight")
    ] = None,
    balance_gradient: Annotated[
        bool | None,
        typer.Option(
            "--balance-gradient/--no-balance-gradient",
            help="Of the twin: whether its gradients of binary kernels are brought to the size "
            f"of the binary ones. (default: {DEFAULTS['balance_gradient']})",
            show_default=False,
        ),
    ] = None,
    latent_share: Annotated[
        str | None,
        _supervision_setting("twin", "real-valued layers that both paths use", "latent_share"),
    ] = None,
    distillation_weight: Annotated[
        float | None,
        _distillation_setting("weight of its distillation", "distillation_weight"),
    ] = None,
    temperature: Annotated[
        float | None,
        _distillation_setting("temperature of the distillation", "temperature"),
    ] = None,
    feature_weight: Annotated[
        float | None,
        _supervision_setting(_TEACHING, "weight of the alignment of features", "feature_weight"),
    ] = None,
    teacher_contrast_weight: Annotated[
        float | None,
        _supervision_setting(
            _TEACHING, "weight of a contrastive term with its features", "teacher_contrast_weight"
        ),
    ] = None,
    teacher: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="Folder of a finished run, on the same data, whose network teaches this one.",
            show_default=False,
        ),
    ] = None,
    contrast: Annotated[
        str | None,
        _setting(
            "Negatives of a contrastive term between real and binary activations: the batch, a "
            "queue of those before, or a bank of all training images.",
            "contrast",
            CONTRASTS,
        ),
    ] = None,
    contrast_weight: Annotated[
        float | None,
        _contrast_setting("its weight", "contrast_weight"),
    ] = None,
    contrast_temperature: Annotated[
        float | None, _contrast_setting("its temperature", "contrast_temperature")
    ] = None,
    contrast_embedding: Annotated[
        int | None, _contrast_setting("size of the embeddings", "contrast_embedding")
    ] = None,
    contrast_count: Annotated[
        int | None, _contrast_setting("negatives, of queue and bank", "contrast_count")
    ] = None,
    contrast_taps: Annotated[
        str | None,
        _contrast_setting(
            "where it stands: last, all, or layers as conv_1,conv_3", "contrast_taps"
        ),
    ] = None,
    contrast_decay: Annotated[
        float | None,
        _contrast_setting(
            "how much less a tap weighs than the next one", "contrast_decay", str(DEFAULT_DECAY)
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run, with its settings.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Train a model; write settings, log, checkpoints, curves and model to a folder.

    Example: kbnn train --data fashion_mnist_sample --epochs 5 --run runs/first

    An interrupted run goes on with kbnn train --resume --run runs/first, and ends with exactly
    the weights that it would have had without the interruption.
    """
    given: dict[str, Any] = {
        "data": data,
        "data_dir": None if data_dir is None else os.path.abspath(data_dir),
        "image_size": options.image_size(image_size),
        "model": model,
        "width": width,
        "epochs": epochs,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "clip_norm": clip_norm,
        "schedule": schedule,
        "validation": options.validation(validation),
        "augment": augment,
        "seed": seed,
        "input_quantizer": input_quantizer,
        "kernel_quantizer": kernel_quantizer,
        "preprocessing": preprocessing,
        "normalization": normalization,
        "kernel_sharpness": options.ends("--kernel-sharpness", kernel_sharpness),
        "input_sharpness": options.ends("--input-sharpness", input_sharpness),
        "hard_forward_from": hard_forward_from,
        "kernel_hard_forward_from": kernel_hard_forward_from,
        "sharpness_hold": sharpness_hold,
        "kernel_constraint": kernel_constraint,
        "kernel_scale": kernel_scale,
        "binary_stem": binary_stem,
        "binary_classifier": binary_classifier,
        "noise_rate": options.rates("--noise-rate", noise_rate),
        "auxiliary_weight": auxiliary_weight,
        "mapping": mapping,
        "mapping_start": mapping_start,
        "residual_scale": residual_scale,
        "loss_on": loss_on,
        "latent": latent,
        "latent_until": latent_until,
        "gradient_weight": gradient_weight,
        "real_weight": real_weight,
        "balance_gradient": balance_gradient,
        "latent_share": latent_share,
        "distillation_weight": distillation_weight,
        "temperature": temperature,
        "feature_weight": feature_weight,
        "teacher_contrast_weight": teacher_contrast_weight,
        "teacher": None if teacher is None else os.path.abspath(teacher),
        "contrast": contrast,
        "contrast_weight": contrast_weight,
        "contrast_temperature": contrast_temperature,
        "contrast_embedding": contrast_embedding,
        "contrast_count": contrast_count,
        "contrast_taps": contrast_taps,
        "contrast_decay": contrast_decay,
    }
    given = {name: value for name, value in given.items() if value is not None}
    folder = RunFolder(run)
    config = requested(given, folder, method=method, pretrained=pretrained, resume=resume)
    if not resume:
        for remark in remarks(config):
            note(remark)
    with (
        _interruption(folder),
        only_results_on_stdout(),
        epoch_progress(config.epochs) as progress,
    ):
        result = train_run(config, run, resume=resume, callbacks=[progress], note=note)
    show(_table(result, folder), {"run": str(run), **result}, as_json=as_json)


@contextlib.contextmanager
def _interruption(folder: RunFolder) -> Iterator[None]:
    """Have Ctrl-C and SIGTERM end the command with a line that says how to go on."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt as error:
        if not folder.config_file.exists():
            raise KeyboardInterrupt("Interrupted before the run began.") from error
        raise KeyboardInterrupt(
            f"Interrupted. Go on with: kbnn train --resume --run {shlex.quote(str(folder.path))}"
        ) from error
    finally:
        signal.signal(signal.SIGTERM, before)


def _table(result: dict[str, Any], folder: RunFolder) -> Table:
    table = Table(title=str(folder.path), show_header=False)
    last, best = result["last_epoch"], result["best_epoch"]
    for name in ("accuracy", "loss"):
        if f"test_{name}" in result:  # train_run(test=False) leaves the test images alone
            table.add_row(f"test {name}", f"{result[f'test_{name}']:.4f}")
    if best is not None:
        table.add_row("validation accuracy", f"{last['val_accuracy']:.4f}")
        table.add_row(
            "best validation accuracy",
            f"{best['val_accuracy']:.4f} (epoch {best['epoch']}, {folder.best_file})",
        )
    table.add_row("parameters", f"{result['parameters']:,}")
    table.add_row("training", f"{result['epochs']} epochs, {result['seconds']:.1f} s")
    table.add_row("model", f"{folder.model_file} (the last epoch's)")
    return table
