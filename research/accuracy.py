"""Trains the experiments, ships them, and writes what came out to results/accuracy.csv.

    python -m research.accuracy run fashion-ste_sign --mode screening
    python -m research.accuracy run fashion-float fashion-ste_sign --mode final --seeds 5
    python -m research.accuracy summary

`screening` trains one seed for a third of the epochs and looks at the validation split alone;
`final` trains each seed in full, converts it, and runs the file on the test images once. A run that
is interrupted goes on where it was; one that has its row is not repeated.
"""

import dataclasses
import datetime
import itertools
import json
import pathlib
from typing import Annotated, Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
import typer
from rich.console import Console
from rich.table import Table

import kbnn
from kbnn.cli import RunConfig, train_run
from kbnn.cli.run_config import PLACES
from kbnn.cli.run_folder import RunFolder
from kbnn.cli.run_model import load_data
from research import accuracy_table, provenance, training_logs
from research.accuracy_table import Mode, Row
from research.experiments import (
    BASELINES,
    EQUAL_TIME,
    EXPERIMENTS,
    FINE_TUNED,
    PRETRAINED,
    TEACHERS,
)

ROOT = provenance.ROOT
SCREENING_SHARE = 3
_WIDTH = 110  # of the summary, in a pipe too

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0], no_args_is_help=True)


@app.command()
def run(
    names: Annotated[list[str], typer.Argument(help="Experiments, as in experiments.py.")],
    mode: Annotated[str, typer.Option(help="screening or final.")] = "screening",
    seeds: Annotated[int, typer.Option(help="Number of seeds, from 0.")] = 1,
    data_dir: Annotated[
        pathlib.Path | None, typer.Option(help="The data, where they are not found by name.")
    ] = None,
    file: Annotated[pathlib.Path, typer.Option(help="The table.")] = accuracy_table.FILE,
    runs: Annotated[pathlib.Path, typer.Option(help="Folder of the runs.")] = ROOT / "runs",
) -> None:
    """Train experiments, seed by seed, and add a row for each finished run."""
    if mode not in ("screening", "final"):
        raise typer.BadParameter(f"Expected screening or final. Received: {mode}")
    unknown = sorted(set(names) - set(EXPERIMENTS))
    if unknown:
        raise typer.BadParameter(f"Expected {', '.join(EXPERIMENTS)}. Received: {unknown}")
    # Seed by seed, so that an unfinished series is of use.
    for seed, name in itertools.product(range(seeds), names):
        config = settings(EXPERIMENTS[name], mode, seed, data_dir)
        if name in FINE_TUNED:
            config = tuned(config, runs / "final" / FINE_TUNED[name])
        if name in TEACHERS:
            config = taught(config, runs / "final" / TEACHERS[name].teacher, TEACHERS[name].terms)
        done = {row.key: row for row in accuracy_table.read(file)}.get((name, mode, seed))
        if done is None:
            folder = runs / mode / name / f"seed_{seed}"
            row = finished(name, config, mode, folder)
            training_logs.merge(
                RunFolder(folder).log_file,
                (name, mode, seed),
                file.parent / training_logs.FILE.name,
            )
            accuracy_table.append(row, file)
            print(f"{name} {mode} seed {seed}: {row.accuracy:.4f}", flush=True)
        elif not accuracy_table.same_settings(done, portable(config)):
            raise typer.BadParameter(
                f"Expected {name} with the settings of its row in {file}. Received: others. "
                "Give the experiment another name, or remove its rows."
            )


@app.command()
def summary(
    file: Annotated[pathlib.Path, typer.Option(help="The table.")] = accuracy_table.FILE,
) -> None:
    """Show mean and spread of each experiment, and the difference to its baseline."""
    rows = accuracy_table.read(file)
    table = Table(title="Accuracy: final: device file, test; screening: Keras, validation")
    for heading in ("experiment", "mode", "runs", "accuracy", "against", "difference (95 %)"):
        table.add_column(heading, overflow="fold")
    for name, mode in dict.fromkeys((row.experiment, row.mode) for row in rows):
        own = [row for row in rows if (row.experiment, row.mode) == (name, mode)]
        spread = accuracy_table.spread([row.accuracy for row in own])
        compared = {}
        for other in (*BASELINES.get(name, ()), EQUAL_TIME.get(name)):
            others = [row for row in rows if (row.experiment, row.mode) == (other, mode)]
            difference = accuracy_table.paired_difference(own, others)
            if other is not None and difference is not None:
                compared[other] = _interval(difference)
                if name in FINE_TUNED and difference.runs > PRETRAINED:
                    of_networks = accuracy_table.paired_difference(own, others, groups=PRETRAINED)
                    compared[f"{other}, by network"] = _interval(of_networks)
        table.add_row(
            *(name, mode, str(spread.runs), _plus_minus(spread)),
            *("\n".join(compared), "\n".join(compared.values())),
        )
    Console(width=_WIDTH).print(table)


def settings(
    experiment: RunConfig, mode: str, seed: int, data_dir: pathlib.Path | None = None
) -> RunConfig:
    """The configuration of one run of an experiment."""
    epochs = experiment.epochs
    if mode == "screening":
        epochs = max(1, round(epochs / SCREENING_SHARE))
    place = experiment.data_dir if data_dir is None else str(data_dir)
    return dataclasses.replace(experiment, epochs=epochs, seed=seed, data_dir=place)


def tuned(config: RunConfig, pretrained: pathlib.Path) -> RunConfig:
    """The configuration that goes on with a network of an experiment's final runs."""
    first = config.seed % PRETRAINED
    folder = pretrained / f"seed_{first}"
    if not (folder / "model.keras").exists():
        raise typer.BadParameter(
            f"Expected the finished run {folder}. Received: none. Run that experiment first: "
            f"--mode final --seeds {PRETRAINED}"
        )
    return dataclasses.replace(config, pretrained=str(folder), split_seed=first)


def taught(config: RunConfig, teacher: pathlib.Path, terms: dict[str, Any]) -> RunConfig:
    """The configuration that learns from the network of an experiment's final run of its seed."""
    folder = teacher / f"seed_{config.seed}"
    if not (folder / "model.keras").exists():
        raise typer.BadParameter(
            f"Expected the finished run {folder}. Received: none. Run that experiment first: "
            f"--mode final --seeds {config.seed + 1}"
        )
    return dataclasses.replace(config, teacher=str(folder), **terms)


def portable(config: RunConfig) -> dict[str, Any]:
    """The settings without the places of files, which are others on each machine."""
    return {name: value for name, value in config.to_dict().items() if name not in PLACES}


def finished(name: str, config: RunConfig, mode: Mode, folder: pathlib.Path) -> Row:
    """Train a run to its end, or go on with it, and measure it."""
    result = train_run(config, folder, resume=(folder / "config.json").exists(), test=False)
    return measured(
        *(name, config, mode, folder),
        validation_accuracy=result["last_epoch"]["val_accuracy"],
        train_seconds=result["seconds"],
        machine=provenance.machine(),
    )


def measured(
    name: str,
    config: RunConfig,
    mode: Mode,
    folder: pathlib.Path,
    *,
    validation_accuracy: float,
    train_seconds: float,
    machine: str,
) -> Row:
    """The row of a trained run; `final` converts it and measures the file."""
    shipped = _shipped(config, folder) if mode == "final" else {}
    return Row(
        experiment=name,
        mode=mode,
        seed=config.seed,
        epochs=config.epochs,
        validation_accuracy=validation_accuracy,
        keras_accuracy=shipped.get("keras_accuracy"),
        device_accuracy=shipped.get("device_accuracy"),
        class_agreement=shipped.get("class_agreement"),
        smooth_accuracy=shipped.get("smooth_accuracy"),
        smooth_agreement=shipped.get("smooth_agreement"),
        file_bytes=shipped.get("file_bytes"),
        train_seconds=train_seconds,
        settings=json.dumps(portable(config)),
        versions=json.dumps(json.loads((folder / "config.json").read_text())["versions"]),
        machine=machine,
        commit=provenance.commit(),
        date=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    )


def _shipped(config: RunConfig, folder: pathlib.Path) -> dict[str, Any]:
    """Convert a finished run and compare file and model on the test images."""
    model = keras.models.load_model(folder / "model.keras", compile=False)
    test = load_data(config).test
    report = kbnn.converters.convert(model, folder / "model.tflite", verify_data=test).report
    parity = report.parity
    return {
        "keras_accuracy": parity.keras_accuracy,
        "device_accuracy": parity.device_accuracy,
        "class_agreement": parity.class_agreement,
        **_smooth(model, config, test),
        "file_bytes": report.file_bytes,
    }


def _smooth(model: keras.Model, config: RunConfig, test: tf.data.Dataset) -> dict[str, float]:
    """How accurate the smooth network is, and how often it gives the class of the signs'."""
    if "smooth_sign" not in (config.kernel_quantizer, config.input_quantizer):
        return {}
    smooth = kbnn.training.smooth_network(model)
    labels = np.concatenate([batch.numpy() for _, batch in test])
    classes, of_signs = (
        network.predict(test, verbose=0).argmax(axis=-1) for network in (smooth, model)
    )
    return {
        "smooth_accuracy": float(np.mean(classes == labels)),
        "smooth_agreement": float(np.mean(classes == of_signs)),
    }


def _plus_minus(spread: accuracy_table.Spread) -> str:
    if spread.deviation is None:
        return f"{100 * spread.mean:.2f}"
    return f"{100 * spread.mean:.2f} +- {100 * spread.deviation:.2f}"


def _interval(difference: accuracy_table.Difference) -> str:
    text = f"{100 * difference.mean:+.2f}"
    if difference.low is None or difference.high is None:
        return text
    return f"{text} [{100 * difference.low:+.2f}, {100 * difference.high:+.2f}]"


if __name__ == "__main__":
    app()
