"""A training run: reproducible, resumable, written to a folder."""

import math
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn import callbacks as kbnn_callbacks
from kbnn import data
from kbnn.cli import curves, model_source, run_callbacks
from kbnn.cli.errors import InputError, RunFailed, input_errors
from kbnn.cli.run_choices import ENDS, MODELS
from kbnn.cli.run_config import RunConfig
from kbnn.cli.run_folder import RunFolder, replace_file, versions, write_json
from kbnn.cli.run_teacher import load_teacher
from kbnn.training import (
    LatentGradientModel,
    LatentMixtureModel,
    LatentWeightModel,
    SmoothValidation,
    TeacherModel,
    requantize,
)

_MOMENTUM = 0.9
# The share of the training in which layers are mixed with their real-valued selves.
_MIXED = 0.8
# The command line's names in those of kbnn.data.load.
_AUGMENT: dict[str, Any] = {"none": False, "crop": "crop", "flip": "flip", "both": True}


def train_run(
    config: RunConfig | None,
    folder: str | os.PathLike[str],
    *,
    resume: bool = False,
    test: bool = True,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    note: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """Train a model as `config` says and write everything about it to `folder`.

    The folder gets `config.json`, `log.csv` (a row per epoch), `checkpoints/latest` (the state to
    resume from), `checkpoints/best.keras` (highest validation accuracy), `curves.png`,
    `model.keras` (the last epoch's model, which is the result) and, at the end, `result.json`.

    A run that is interrupted, by whatever means, and resumed ends with exactly the weights of the
    uninterrupted run on the same machine and versions. For that, this seeds Python, NumPy and
    TensorFlow and makes TensorFlow's operations deterministic, both for the whole process.

    Args:
        config: the settings. None, with `resume`, takes those of the folder.
        folder: a folder that does not exist or is empty; with `resume`, that of the run.
        resume: go on with the run in `folder`. One that is finished is left as it is.
        test: measure the result on the test images. False leaves them alone: for runs among which
            one is to be chosen.
        callbacks: further Keras callbacks, called after those of the run.
        note: called with messages for the user.

    Returns:
        The content of `result.json`.

    Raises:
        InputError: the folder, the settings or the data cannot be used. A ValueError.
        RunFailed: the loss or a weight is not finite; the state of the epoch before stays.

    >>> from kbnn.cli import RunConfig, train_run
    >>> config = RunConfig(data="fashion_mnist_sample", width=8, epochs=1)
    >>> result = train_run(config, "runs/first")                           # doctest: +SKIP
    """
    run = RunFolder(folder)
    if resume:
        config = _resumed_config(run, config, note)
        result = run.result()
        if result is not None and run.model_file.exists():
            note(f"The run in {run.path} is finished.")
            return result
    elif config is None:
        raise InputError("Expected `config` for a new run. Received: config=None")
    else:
        run.check_new()
    keras.utils.set_random_seed(config.seed)
    tf.config.experimental.enable_op_determinism()
    with input_errors():
        splits = load_data(config)
        model = build_model(config)
    save = _plain_saver(model)
    steps = config.epochs * len(splits.train)
    with input_errors():
        trainer = trainer_of(model, config, steps)
        if not resume:
            run.create(config)
    with run.locked():
        run.remove_unfinished()
        compile_model(trainer, config, steps)
        _fit(trainer, splits, config, run, [run_callbacks.KeepBest(run, save)], callbacks)
        replace_file(run.model_file, save)
        if not curves.draw(run.log(), run.curves_file):
            note('No curves.png: it needs matplotlib (pip install "kbnn[plots]").')
        elif run.weights_file.exists():
            curves.draw_weights(run.weights_file, run.weights_picture)
        return _finish(model, splits.test if test else None, config, run)


def load_data(config: RunConfig) -> data.Splits:
    """The datasets of a run."""
    return data.load(
        config.data,
        directory=config.data_dir,
        image_size=config.image_size,
        batch_size=config.batch_size,
        validation=config.validation,
        normalize=config.normalize,
        augment=_AUGMENT[config.augment],
        seed=config.seed,
        split_seed=config.split,
    )


def build_model(config: RunConfig) -> keras.Model:
    """The model of a run, with fresh weights or those that it goes on with; it gives logits."""
    if config.pretrained is not None:
        return _pretrained(config)
    info = data.describe(config.data, directory=config.data_dir, image_size=config.image_size)
    inside = config.preprocessing == "inside"
    return MODELS[config.model](
        input_shape=info.input_shape,
        classes=info.classes,
        width=config.width,
        **_quantizers(config),
        normalization=config.normalization,
        kernel_initializer=_initializer(config.kernel_scale),
        kernel_constraint=_none(config.kernel_constraint),
        preprocessing=data.normalization_layer() if inside else None,
        classifier_activation=None,
        **{name: True for name in ENDS if getattr(config, name)},  # chains alone have them
    )


def _pretrained(config: RunConfig) -> keras.Model:
    """The network of another run, with the quantizers that this one has."""
    source = model_source.load_run(pathlib.Path(config.pretrained or ""), config.pretrained_sha256)
    info = data.describe(config.data, directory=config.data_dir, image_size=config.image_size)
    expected = ((None, *info.input_shape), (None, info.classes))
    received = (source.model.input_shape, source.model.output_shape)
    if received != expected:
        raise InputError(
            f"Expected a network for the images and classes of {config.data}, {expected}. "
            f"Received: one for {received} in {config.pretrained}"
        )
    changed = {
        name: quantizer
        for name, quantizer in _quantizers(config).items()
        if getattr(config, name) != getattr(source.config, name)
        or (name == "kernel_quantizer" and config.learned != source.config.learned)
    }
    return requantize(source.model, **changed) if changed else source.model


def _quantizers(config: RunConfig) -> dict[str, Any]:
    learned = config.kernel_quantizer == "learned_sign"
    return {
        "input_quantizer": _none(config.input_quantizer),
        "kernel_quantizer": config.learned_sign() if learned else _none(config.kernel_quantizer),
    }


def trainer_of(model: keras.Model, config: RunConfig, steps: int) -> keras.Model:
    """What `fit` is called on, for `steps`: the model, or a trainer of it."""
    if config.teacher is not None:
        return TeacherModel(model, load_teacher(config), config.supervision())
    if config.latent == "twin":
        return LatentWeightModel(model, config.supervision())
    if config.latent == "mixture":
        mixed = max(1, round(_MIXED * steps))
        return LatentMixtureModel(
            model, keras.optimizers.schedules.PolynomialDecay(0.0, mixed, 1.0)
        )
    return LatentGradientModel(model) if config.latent == "gradient" else model


def compile_model(model: keras.Model, config: RunConfig, steps: int) -> None:
    """Give the model of a run its optimizer, whose schedule takes `steps`, loss and metrics."""
    model.compile(
        _optimizer(config, steps),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )


def _resumed_config(
    run: RunFolder, config: RunConfig | None, note: Callable[[str], None]
) -> RunConfig:
    saved = run.config_to_resume()
    if config is not None and config != saved:
        different = [
            f"{name}={value!r} (the run has {saved.to_dict()[name]!r})"
            for name, value in config.to_dict().items()
            if value != saved.to_dict()[name]
        ]
        raise InputError(
            f"Expected the settings of the run in {run.path}. Received: {', '.join(different)}"
        )
    begun, now = run.versions(), versions()
    if begun != now:
        changed = [f"{name} {begun.get(name)} -> {now[name]}" for name in now]
        note(
            "The run was begun with other versions, so its weights may differ from those of an "
            f"uninterrupted run: {', '.join(changed)}."
        )
    return saved


def _fit(
    trainer: keras.Model,
    splits: data.Splits,
    config: RunConfig,
    run: RunFolder,
    before_backup: Sequence[keras.callbacks.Callback],
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    run.latest.mkdir(parents=True, exist_ok=True)
    trainer.fit(
        splits.train,
        validation_data=splits.validation,
        epochs=config.epochs,
        verbose=0,
        callbacks=[
            kbnn_callbacks.ShuffleEpoch(splits.train),
            *_technique(config, splits, run),
            run_callbacks.LogEpochs(run),
            *before_backup,
            # The state stays after the last epoch: what follows can be interrupted too.
            keras.callbacks.BackupAndRestore(str(run.latest), delete_checkpoint=False),
            *callbacks,
        ],
    )


def _technique(
    config: RunConfig, splits: data.Splits, run: RunFolder
) -> list[keras.callbacks.Callback]:
    """The callbacks that the run's quantizers need, and what they have to show."""
    schedules = [
        kbnn_callbacks.SharpnessSchedule(
            *ends,
            config.sharpness_law,
            hold=config.sharpness_hold,
            hard_forward_from=hard_from,
            quantizers=kind,
        )
        for kind, ends, hard_from in (
            ("kernel", config.kernel_sharpness, config.kernel_hard_forward_from),
            ("input", config.input_sharpness, config.hard_forward_from),
        )
        if ends is not None
    ]
    if not schedules:
        return _learned_sign_monitor(config)
    seen = None if splits.validation is None else next(iter(splits.validation))[0]
    shown: list[keras.callbacks.Callback] = [kbnn_callbacks.BinarizationMonitor(seen)]
    if splits.validation is not None:
        shown.append(SmoothValidation(splits.validation))
    if config.kernel_sharpness is not None:
        shown.append(kbnn_callbacks.WeightHistograms(run.weights_file))
    return [*schedules, *shown, *_learned_sign_monitor(config)]


def _learned_sign_monitor(config: RunConfig) -> list[keras.callbacks.Callback]:
    if config.kernel_quantizer != "learned_sign":
        return []
    before = config.pretrained and model_source.load(pathlib.Path(config.pretrained)).model
    return [kbnn_callbacks.LearnedSignMonitor(before or None)]


def _optimizer(config: RunConfig, steps: int) -> keras.optimizers.Optimizer:
    rate: Any = config.learning_rate
    if config.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    if config.optimizer == "adam":
        return keras.optimizers.Adam(rate, global_clipnorm=config.clip_norm)
    return keras.optimizers.SGD(rate, momentum=_MOMENTUM, global_clipnorm=config.clip_norm)


def _plain_saver(model: keras.Model) -> Callable[[Any], None]:
    """Saves a copy without the optimizer, whose state would make the file three times as large.

    The copy is made once, before training, because making it draws random numbers.
    """
    plain = keras.models.clone_model(model)

    def save(path: Any) -> None:
        plain.set_weights(model.get_weights())
        plain.save(path)

    return save


def _finish(
    model: keras.Model, test: tf.data.Dataset | None, config: RunConfig, run: RunFolder
) -> dict[str, Any]:
    rows = run.log()
    best = run_callbacks.best_epoch(rows)
    result = {
        "model": run.model_file.name,
        "epochs": config.epochs,
        "parameters": model.count_params(),
        "last_epoch": rows[-1],
        "best_epoch": best,
        **({} if test is None else _on_test_images(model, test, config)),
        "seconds": round(sum(row["seconds"] for row in rows), 3),
    }
    write_json(run.result_file, result)
    return result


def _on_test_images(
    model: keras.Model, test: tf.data.Dataset, config: RunConfig
) -> dict[str, float]:
    compile_model(model, config, steps=1)  # a trainer is what was trained
    measured = model.evaluate(test, verbose=0, return_dict=True)
    if not math.isfinite(measured["loss"]):
        raise RunFailed(
            f"Expected a finite loss on the test images. Received: {measured['loss']}. "
            "Start a new run with a lower --learning-rate."
        )
    return {"test_loss": measured["loss"], "test_accuracy": measured["accuracy"]}


def _initializer(scale: float) -> keras.initializers.Initializer:
    """Glorot's uniform one, its values times `scale`."""
    return keras.initializers.VarianceScaling(scale**2, "fan_avg", "uniform")


def _none(name: str) -> str | None:
    return None if name == "none" else name
