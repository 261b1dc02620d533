"""Trains the experiments and measures them up to the device file.

    python -m research.accuracy run fashion-ste_sign --mode screening
    python -m research.accuracy run fashion-float fashion-ste_sign --mode final --seeds 5
    python -m research.accuracy summary

"screening" trains for a third of the epochs and measures accuracy on the validation images only.
"final" trains in full, converts the model, and runs the file on the test images once. Each finished
run adds a row to results/accuracy.csv and its log to results/training_logs.csv.gz. An interrupted
run continues where it was; a run that has its row is not repeated.
"""

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
from kbnn.runs import RunConfig, train_run
from kbnn.runs.folder import RunFolder
from kbnn.runs.run_model import load_data
from kbnn.techniques import SelfBinarizing
from research import accuracy_table, provenance, training_logs
from research.accuracy_table import Mode, Row
from research.experiments import EXPERIMENTS, PRETRAINED
from research.experiments.run_config import run_config, settings_without_paths

RUNS = provenance.ROOT / "runs"
_WIDTH = 110  # of the summary, in a pipe too

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0], no_args_is_help=True)


@app.command()
def run(
    names: Annotated[list[str], typer.Argument(help="Names from research/experiments.")],
    mode: Annotated[str, typer.Option(help="screening or final.")] = "screening",
    seeds: Annotated[int, typer.Option(help="Number of seeds, counted from 0.")] = 1,
    data_dir: Annotated[
        pathlib.Path | None, typer.Option(help="Folder or file of the data.")
    ] = None,
    file: Annotated[pathlib.Path, typer.Option(help="The table.")] = accuracy_table.FILE,
    runs: Annotated[pathlib.Path, typer.Option(help="Folder of the runs.")] = RUNS,
) -> None:
    """Train experiments, seed by seed, and add a row for each finished run."""
    if mode not in ("screening", "final"):
        raise typer.BadParameter(f"Expected screening or final. Received: {mode}")
    unknown = sorted(set(names) - set(EXPERIMENTS))
    if unknown:
        raise typer.BadParameter(f"Expected {', '.join(EXPERIMENTS)}. Received: {unknown}")
    # All experiments with one seed before the next seed, so that an unfinished series is of use.
    for seed, name in itertools.product(range(seeds), names):
        config = run_config(EXPERIMENTS[name], mode, seed, runs, data_dir)
        done = {row.key: row for row in accuracy_table.read(file)}.get((name, mode, seed))
        if done is None:
            folder = runs / mode / name / f"seed_{seed}"
            row = train_and_measure(name, config, mode, folder)
            log, logs = RunFolder(folder).log_file, file.parent / training_logs.FILE.name
            training_logs.merge(log, (name, mode, seed), logs)
            accuracy_table.append(row, file)
            print(f"{name} {mode} seed {seed}: {row.accuracy:.4f}", flush=True)
        elif not accuracy_table.same_settings(done, config):
            raise typer.BadParameter(
                f"Expected {name} with the settings of its row in {file}. Received: others. "
                "Give the experiment another name, or remove its rows."
            )


@app.command()
def summary(
    file: Annotated[pathlib.Path, typer.Option(help="The table.")] = accuracy_table.FILE,
) -> None:
    """Show mean and spread of each experiment, and its difference from the baselines."""
    rows = accuracy_table.read(file)
    table = Table(title="Accuracy. final: device file, test images. screening: Keras, validation.")
    for heading in ("experiment", "mode", "runs", "accuracy", "against", "difference (95 %)"):
        table.add_column(heading, overflow="fold")
    for name, mode in dict.fromkeys((row.experiment, row.mode) for row in rows):
        spread = accuracy_table.spread(
            [row.accuracy for row in rows if (row.experiment, row.mode) == (name, mode)]
        )
        compared = _compare(name, [row for row in rows if row.mode == mode])
        table.add_row(
            *(name, mode, str(spread.runs), _format_spread(spread)),
            *("\n".join(compared), "\n".join(compared.values())),
        )
    Console(width=_WIDTH).print(table)


def _compare(name: str, rows: list[Row]) -> dict[str, str]:
    """The differences of an experiment to its baselines, by their names."""
    experiment = EXPERIMENTS.get(name)
    if experiment is None:
        return {}
    own = [row for row in rows if row.experiment == name]
    compared = {}
    for baseline in (*experiment.baselines, experiment.equal_time):
        others = [row for row in rows if row.experiment == baseline]
        difference = accuracy_table.paired_difference(own, others)
        if baseline is None or difference is None:
            continue
        compared[baseline] = _format_difference(difference)
        if experiment.fine_tunes is not None and difference.runs > PRETRAINED:
            by_network = accuracy_table.paired_difference(own, others, groups=PRETRAINED)
            compared[f"{baseline}, by network"] = _format_difference(by_network)
    return compared


def train_and_measure(name: str, config: RunConfig, mode: Mode, folder: pathlib.Path) -> Row:
    """Train a run to its end, or continue it, and return its row."""
    result = train_run(config, folder, resume=(folder / "config.json").exists(), test=False)
    return measure(
        *(name, config, mode, folder),
        validation_accuracy=result["last_epoch"]["val_accuracy"],
        train_seconds=result["seconds"],
        machine=provenance.machine(),
    )


def measure(
    name: str,
    config: RunConfig,
    mode: Mode,
    folder: pathlib.Path,
    *,
    validation_accuracy: float,
    train_seconds: float,
    machine: str,
) -> Row:
    """Return the row of a trained run; "final" converts it and measures the file."""
    shipped = _measure_file(config, folder) if mode == "final" else {}
    return Row(
        experiment=name,
        mode=mode,
        seed=config.fit.seed,
        epochs=config.fit.epochs,
        validation_accuracy=validation_accuracy,
        keras_accuracy=shipped.get("keras_accuracy"),
        device_accuracy=shipped.get("device_accuracy"),
        class_agreement=shipped.get("class_agreement"),
        smooth_accuracy=shipped.get("smooth_accuracy"),
        smooth_agreement=shipped.get("smooth_agreement"),
        file_bytes=shipped.get("file_bytes"),
        train_seconds=train_seconds,
        settings=json.dumps(settings_without_paths(config)),
        versions=json.dumps(json.loads((folder / "config.json").read_text())["versions"]),
        machine=machine,
        commit=provenance.commit(),
        date=provenance.today(),
    )


def _measure_file(config: RunConfig, folder: pathlib.Path) -> dict[str, Any]:
    """Convert a finished run and compare file and model on the test images."""
    model = keras.models.load_model(folder / "model.keras", compile=False)
    test = load_data(config).test
    report = kbnn.converters.convert(model, folder / "model.tflite", verify_data=test).report
    parity = report.parity
    return {
        "keras_accuracy": parity.keras_accuracy,
        "device_accuracy": parity.device_accuracy,
        "class_agreement": parity.class_agreement,
        **_compare_smooth_network(model, config, test),
        "file_bytes": report.file_bytes,
    }


def _compare_smooth_network(
    model: keras.Model, config: RunConfig, test: tf.data.Dataset
) -> dict[str, float]:
    """The accuracy of the smooth network, and how often it agrees with the network of signs."""
    if not any(isinstance(technique, SelfBinarizing) for technique in config.techniques):
        return {}
    smooth = kbnn.techniques.smooth_network(model)
    labels = np.concatenate([batch.numpy() for _, batch in test])
    classes, of_signs = (
        network.predict(test, verbose=0).argmax(axis=-1) for network in (smooth, model)
    )
    return {
        "smooth_accuracy": float(np.mean(classes == labels)),
        "smooth_agreement": float(np.mean(classes == of_signs)),
    }


def _format_spread(spread: accuracy_table.Spread) -> str:
    if spread.deviation is None:
        return f"{100 * spread.mean:.2f}"
    return f"{100 * spread.mean:.2f} +- {100 * spread.deviation:.2f}"


def _format_difference(difference: accuracy_table.Difference) -> str:
    text = f"{100 * difference.mean:+.2f}"
    if difference.low is None or difference.high is None:
        return text
    return f"{text} [{100 * difference.low:+.2f}, {100 * difference.high:+.2f}]"


if __name__ == "__main__":
    app()
