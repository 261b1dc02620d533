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
from kbnn.runs import callbacks as run_callbacks
from kbnn.runs import curves
from kbnn.runs.errors import InputError, RunFailed, input_errors
from kbnn.runs.folder import RunFolder, write_json
from kbnn.runs.resume import check_teachers, resume_config
from kbnn.runs.run_config import RunConfig
from kbnn.runs.run_model import PreparedModel, build_model, load_data, prepare
from kbnn.techniques.technique import trainer_of


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
    keras.utils.set_random_seed(config.fit.seed)
    tf.config.experimental.enable_op_determinism()
    with input_errors():
        check_teachers(config)
        splits = load_data(config)
        model = prepare(config, build_model(config))
    save = _plain_saver(model)
    steps = config.fit.epochs * len(splits.train)
    with input_errors():
        trainer = trainer_of(config.techniques, model.prepared, steps)
        if not resume:
            run.create(config)
    with run.lock():
        run.remove_unfinished()
        config.fit.compile(trainer, steps)
        _fit(trainer, splits, config, run, [run_callbacks.KeepBest(run, save)], callbacks)
        if model.prepared is not model.model:
            model.model.set_weights([weight.numpy() for weight in model.shipped_weights])
        with replace_file(run.model_file) as temporary:
            save(temporary)
        if not curves.draw(run.log(), run.curves_file):
            note('No curves.png: it needs matplotlib (pip install "kbnn[plots]").')
        elif run.weights_file.exists():
            curves.draw_weights(run.weights_file, run.weights_picture)
        return _finish(model.model, splits.test if test else None, config, run)


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
            # The state stays after the last epoch: what follows can be interrupted too.
            keras.callbacks.BackupAndRestore(str(run.latest), delete_checkpoint=False),
            *callbacks,
        ],
    )


def _plain_saver(model: PreparedModel) -> Callable[[Any], None]:
    """Saves a copy without the optimizer, whose state would make the file three times as large.

    The copy is made once, before training, because making it draws random numbers.
    """
    plain = keras.models.clone_model(model.model)

    def save(path: Any) -> None:
        plain.set_weights([weight.numpy() for weight in model.shipped_weights])
        plain.save(path)

    return save


def _finish(
    model: keras.Model, test: tf.data.Dataset | None, config: RunConfig, run: RunFolder
) -> dict[str, Any]:
    log = run.log()
    best = run_callbacks.best_epoch(log)
    result = {
        "model": run.model_file.name,
        "epochs": config.fit.epochs,
        "parameters": model.count_params(),
        "last_epoch": log[-1],
        "best_epoch": best,
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
