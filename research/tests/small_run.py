"""Settings of runs, and rows of benches, for tests."""

import dataclasses
import pathlib
from typing import Any

from kbnn.runs import Data, Fit, Network, RunConfig
from kbnn.techniques import Technique
from research.bench_table import Row

ROW = Row(
    bench="small",
    arm="plain",
    seed=0,
    epochs=3,
    validation_accuracy=0.8,
    validation_accuracy_before=0.75,
    keras_accuracy=0.79,
    device_accuracy=0.78,
    class_agreement=1.0,
    file_bytes=1000,
    cpu_seconds=100.0,
    train_seconds=120.0,
    settings="{}",
    versions='{"numpy": "1.26.4"}',
    machine="a machine, avx2, 2 cores, 1 threads",
    commit="abc",
    date="2026-01-02",
)


def small_config(
    images: pathlib.Path,
    *,
    techniques: tuple[Technique, ...] = (),
    network: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    **fit: Any,
) -> RunConfig:
    """Return the settings of a run on the fixture's images, of 7 batches an epoch."""
    return RunConfig(
        Data("folder", directory=str(images), batch_size=32, **(data or {})),
        Network(width=8, **(network or {})),
        Fit(**fit),
        techniques,
    )


def make_row(**changes: Any) -> Row:
    """Return a row that differs from ROW."""
    return dataclasses.replace(ROW, **changes)


def make_rows(arm: str, accuracies: list[float], **changes: Any) -> list[Row]:
    """Return rows of an arm with the seeds 0, 1, ..."""
    return [
        make_row(arm=arm, seed=seed, device_accuracy=accuracy, **changes)
        for seed, accuracy in enumerate(accuracies)
    ]
