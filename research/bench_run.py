"""Trains, converts and measures one run of a bench, and writes it to the tables."""

import json
import pathlib
from typing import Any

import tf_keras as keras

import kbnn
from kbnn.runs import RunConfig, train_run
from kbnn.runs.folder import RunFolder
from kbnn.runs.run_model import load_data
from research import bench_table, benches, provenance, training_logs
from research.bench_table import Row
from research.benches import Bench
from research.epoch_clock import EpochClock

_NOT_MEASURED: dict[str, Any] = dict.fromkeys(
    ("keras_accuracy", "device_accuracy", "class_agreement", "file_bytes")
)


def train_and_measure(
    bench: Bench,
    arm: str,
    config: RunConfig,
    *,
    runs: pathlib.Path,
    file: pathlib.Path = bench_table.FILE,
) -> Row:
    """Train a run, or resume it, and add its row and its log to the tables."""
    seed = config.fit.seed
    folder = RunFolder(benches.run_folder(runs, bench.name, arm, seed))
    clock = EpochClock(folder.path)
    result = train_run(
        config,
        folder.path,
        resume=folder.config_file.exists(),
        test=False,
        callbacks=[clock],
        note=print,
    )
    row = make_row(
        *(bench, arm, config, folder),
        validation_accuracy=result["validation_accuracy"],
        validation_accuracy_before=result.get("validation_accuracy_before_recalibration"),
        cpu_seconds=clock.seconds(config.fit.epochs),
        train_seconds=result["seconds"],
        machine=provenance.machine(),
    )
    logs = file.parent / training_logs.FILE.name
    training_logs.merge(folder.log_file, (bench.name, arm, seed), logs)
    bench_table.append(row, file)
    return row


def make_row(
    bench: Bench,
    arm: str,
    config: RunConfig,
    folder: RunFolder,
    *,
    validation_accuracy: float,
    validation_accuracy_before: float | None,
    cpu_seconds: float,
    train_seconds: float,
    machine: str,
) -> Row:
    """Return the row of a trained run. Convert and measure its file, except for tuning."""
    chosen = bench.arms[arm]
    return Row(
        *(bench.name, arm, config.fit.seed, config.fit.epochs),
        validation_accuracy=validation_accuracy,
        validation_accuracy_before=validation_accuracy_before,
        **(_NOT_MEASURED if chosen.is_tuning else _measure_file(config, folder, chosen.is_int8)),
        cpu_seconds=cpu_seconds,
        train_seconds=train_seconds,
        settings=bench_table.settings_json(config),
        versions=json.dumps(folder.versions()),
        machine=machine,
        commit=provenance.commit(),
        date=provenance.today(),
    )


def _measure_file(config: RunConfig, folder: RunFolder, is_int8: bool) -> dict[str, Any]:
    """Convert a finished run, and compare file and model on the test images."""
    model = keras.models.load_model(folder.model_file, compile=False)
    splits = load_data(config)
    file = folder.path / "model.tflite"
    calibration_data = splits.train if is_int8 else None
    report = kbnn.converters.convert(
        model, file, calibration_data=calibration_data, verify_data=splits.test
    ).report
    return {
        "keras_accuracy": report.parity.keras_accuracy,
        "device_accuracy": report.parity.device_accuracy,
        "class_agreement": report.parity.class_agreement,
        "file_bytes": report.file_bytes,
    }
