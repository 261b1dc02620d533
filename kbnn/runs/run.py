"""A training run: reproducible, resumable, written to a folder."""

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn import callbacks as kbnn_callbacks
from kbnn import data
from kbnn._files import replace_file
from kbnn.converters.lint import lint_for_training
from kbnn.graph.precision import dtype_policy, in_float32
from kbnn.runs import callbacks as run_callbacks
from kbnn.runs import curves
from kbnn.runs.errors import InputError, RunFailed, input_errors
from kbnn.runs.folder import RunFolder, write_json
from kbnn.runs.processor import has_fast_bfloat16
from kbnn.runs.resume import check_teachers, resume_config
from kbnn.runs.run_config import RunConfig
from kbnn.runs.run_model import PreparedModel, build_model, load_data, prepare
from kbnn.techniques.technique import trainer_of
from kbnn.training.recalibrate_batch_norm import recalibrate_batch_norm


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
    `model.keras` (the result: the last epoch's model in float32, with the statistics of batch
    normalization measured anew) and, at the end, `result.json`.

    If a run is interrupted, by whatever means, and resumed, it ends with exactly the weights of an
    uninterrupted run on the same machine and versions. For this, the function seeds Python, NumPy
    and TensorFlow and makes TensorFlow's operations deterministic, for the whole process.

    Args:
        config: the settings. With `resume`, None means the settings in the folder.
        folder: a folder that does not exist or is empty; with `resume`, the folder of the run.
        resume: resume the run in `folder`. A finished run stays as it is.
        test: measure the result on the test images. Pass False for runs from which you will choose
            one, so that the test images do not influence the choice.
        callbacks: further Keras callbacks, called after the run's.
        note: called with messages for the user.

    Returns:
        The content of `result.json`.

    Raises:
        InputError: the folder, the settings or the data cannot be used. It is a ValueError.
        RunFailed: the loss, a metric or a weight is not finite. The folder keeps the state of the
            previous epoch.

    Example:
        >>> from kbnn.runs import Data, Fit, RunConfig, train_run
        >>> config = RunConfig(Data("fashion_mnist_sample"), fit=Fit(epochs=1))
        >>> result = train_run(config, "runs/first")                           # doctest: +SKIP
    """
    run = RunFolder(folder)
    if resume:
        config = resume_config(run, config, note)
        result = run.result()
        if result is not None and run.model_file.exists():
            note(f"The run in {run.path} is finished.")
            return result
    elif config is None:
        raise InputError("Expected `config` for a new run. Received: config=None")
    else:
        run.check_new()
    if config.fit.precision == "bfloat16" and not has_fast_bfloat16():
        note("This processor has no instructions for bfloat16, so bfloat16 is slower than float32.")
    keras.utils.set_random_seed(config.fit.seed)
    tf.config.experimental.enable_op_determinism()
    with dtype_policy(config.fit.policy):
        return _train(config, run, resume=resume, test=test, callbacks=callbacks, note=note)


def _train(
    config: RunConfig,
    run: RunFolder,
    *,
    resume: bool,
    test: bool,
    callbacks: Sequence[keras.callbacks.Callback],
    note: Callable[[str], None],
) -> dict[str, Any]:
    with input_errors():
        check_teachers(config)
        splits = load_data(config)
        model = prepare(config, build_model(config))
    if not resume:
        for warning in _warnings(model.model):
            note(warning)
    result_of = _result_copier(model)
    steps = config.fit.epochs * len(splits.train)
    with input_errors():
        trainer = trainer_of(config.techniques, model.prepared, steps, config.data.describe())
        if not resume:
            run.create(config)
    with run.lock():
        run.remove_unfinished()
        config.fit.compile(trainer, steps)
        keep_best = run_callbacks.KeepBest(run, lambda path: result_of().save(path))
        _fit(trainer, splits, config, run, [keep_best], callbacks)
        result = result_of()
        validated = _recalibrate(result, splits, config)
        with replace_file(run.model_file) as temporary:
            result.save(temporary)
        if not curves.draw(run.log(), run.curves_file):
            note('No curves.png: it needs matplotlib (pip install "kbnn[plots]").')
        elif run.weights_file.exists():
            curves.draw_weights(run.weights_file, run.weights_picture)
        return _finish(result, validated, splits.test if test else None, config, run)


def _warnings(model: keras.Model) -> list[str]:
    """Say which layers keep the network from learning, or cannot run binary on the device."""
    return [
        f"Warning: {result.layer!r} ({result.kind}): {text}"
        for result in lint_for_training(model)
        for text in (result.warning, result.problem)
        if text
    ]


def _fit(
    trainer: keras.Model,
    splits: data.Splits,
    config: RunConfig,
    run: RunFolder,
    before_backup: Sequence[keras.callbacks.Callback],
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    run.latest.mkdir(parents=True, exist_ok=True)
    first = config.network.pretrained if config.techniques else None
    pretrained = None if first is None else first.load()
    of_techniques = [
        callback
        for technique in config.techniques
        for callback in technique.callbacks(splits, run.path, pretrained)
    ]
    trainer.fit(
        splits.train,
        validation_data=splits.validation,
        epochs=config.fit.epochs,
        verbose=0,
        callbacks=[
            kbnn_callbacks.ShuffleEpoch(splits.train),
            *of_techniques,
            run_callbacks.LogEpochs(run),
            *before_backup,
            # The state stays after the last epoch, because the next steps can be interrupted too.
            keras.callbacks.BackupAndRestore(str(run.latest), delete_checkpoint=False),
            *callbacks,
        ],
    )


def _result_copier(model: PreparedModel) -> Callable[[], keras.Model]:
    """Return a function that copies the model as it is now, in float32 and without an optimizer.

    The copy is made once, before training, because making it draws random numbers.
    """
    copy = in_float32(keras.models.clone_model(model.model))

    def result_of() -> keras.Model:
        copy.set_weights([weight.numpy() for weight in model.shipped_weights])
        return copy

    return result_of


def _recalibrate(model: keras.Model, splits: data.Splits, config: RunConfig) -> dict[str, float]:
    """Measure the statistics of batch normalization anew, and the accuracy before and after."""
    before = _validate(model, splits, config)
    if not config.fit.recalibration:
        return {"validation_accuracy": before["accuracy"]} if before else {}
    # This epoch has its own order, which an interruption of the training does not change.
    data.set_epoch(splits.train, config.fit.epochs)
    recalibrate_batch_norm(model, splits.train, steps=config.fit.recalibration)
    after = _validate(model, splits, config)
    return {
        f"validation_accuracy{suffix}": found["accuracy"]
        for suffix, found in (("", after), ("_before_recalibration", before))
        if found
    }


def _validate(model: keras.Model, splits: data.Splits, config: RunConfig) -> dict[str, float]:
    if splits.validation is None:
        return {}
    config.fit.compile(model, steps=1)
    found: dict[str, float] = model.evaluate(splits.validation, verbose=0, return_dict=True)
    return found


def _finish(
    model: keras.Model,
    validated: dict[str, float],
    test: tf.data.Dataset | None,
    config: RunConfig,
    run: RunFolder,
) -> dict[str, Any]:
    log = run.log()
    best = run_callbacks.best_epoch(log)
    result = {
        "model": run.model_file.name,
        "epochs": config.fit.epochs,
        "parameters": model.count_params(),
        "last_epoch": log[-1],
        "best_epoch": best,
        **validated,
        **({} if test is None else _on_test_images(model, test, config)),
        "seconds": round(sum(row["seconds"] for row in log), 3),
    }
    write_json(run.result_file, result)
    return result


def _on_test_images(
    model: keras.Model, test: tf.data.Dataset, config: RunConfig
) -> dict[str, float]:
    config.fit.compile(model, steps=1)  # a trainer is what was trained
    measured = model.evaluate(test, verbose=0, return_dict=True)
    if not math.isfinite(measured["loss"]):
        raise RunFailed(
            f"Expected a finite loss on the test images. Received: {measured['loss']}. "
            "Start a new run with a lower --learning-rate."
        )
    return {"test_loss": measured["loss"], "test_accuracy": measured["accuracy"]}
