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
from kbnn._files import replace_file
from kbnn.runs import callbacks as run_callbacks
from kbnn.runs import curves, model_source
from kbnn.runs.errors import InputError, RunFailed, input_errors
from kbnn.runs.folder import RunFolder, versions, write_json
from kbnn.runs.run_config import RunConfig
from kbnn.runs.run_model import build_model, compile_model, load_data, trainer_of, with_terms
from kbnn.techniques.contrastive.contrastive_term import ContrastiveTerm
from kbnn.techniques.self_binarizing.smooth_validation import SmoothValidation


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

    >>> from kbnn.runs import RunConfig, train_run
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
        trained = with_terms(model, config)
    shipped = _shipped_weights(trained)
    save = _plain_saver(model, shipped)
    steps = config.epochs * len(splits.train)
    with input_errors():
        trainer = trainer_of(trained, config, steps)
        if not resume:
            run.create(config)
    with run.locked():
        run.remove_unfinished()
        compile_model(trainer, config, steps)
        _fit(trainer, splits, config, run, [run_callbacks.KeepBest(run, save)], callbacks)
        if trained is not model:
            model.set_weights([weight.numpy() for weight in shipped])
        with replace_file(run.model_file) as temporary:
            save(temporary)
        if not curves.draw(run.log(), run.curves_file):
            note('No curves.png: it needs matplotlib (pip install "kbnn[plots]").')
        elif run.weights_file.exists():
            curves.draw_weights(run.weights_file, run.weights_picture)
        return _finish(model, splits.test if test else None, config, run)


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
    measured = [] if config.contrast == "none" else [kbnn_callbacks.ContrastMonitor()]
    schedules = [
        kbnn_callbacks.SharpnessSchedule(
            *ends,
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
        return [*measured, *_learned_sign_monitor(config)]
    seen = None if splits.validation is None else next(iter(splits.validation))[0]
    shown: list[keras.callbacks.Callback] = [kbnn_callbacks.BinarizationMonitor(seen)]
    if splits.validation is not None:
        shown.append(SmoothValidation(splits.validation))
    if config.kernel_sharpness is not None:
        shown.append(kbnn_callbacks.WeightHistograms(run.weights_file))
    return [*schedules, *shown, *measured, *_learned_sign_monitor(config)]


def _learned_sign_monitor(config: RunConfig) -> list[keras.callbacks.Callback]:
    if config.kernel_quantizer != "learned_sign":
        return []
    before = config.pretrained and model_source.load(pathlib.Path(config.pretrained)).model
    return [kbnn_callbacks.LearnedSignMonitor(before or None)]


def _shipped_weights(trained: keras.Model) -> list[tf.Variable]:
    """The weights of a model without those of contrastive terms, which only training needs."""
    terms = [layer for layer in trained.submodules if isinstance(layer, ContrastiveTerm)]
    of_terms = {id(weight) for term in terms for weight in term.weights}
    return [weight for weight in trained.weights if id(weight) not in of_terms]


def _plain_saver(model: keras.Model, shipped: list[tf.Variable]) -> Callable[[Any], None]:
    """Saves a copy without the optimizer, whose state would make the file three times as large.

    The copy is made once, before training, because making it draws random numbers.
    """
    plain = keras.models.clone_model(model)

    def save(path: Any) -> None:
        plain.set_weights([weight.numpy() for weight in shipped])
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
