"""Reads and writes results/bench.csv, which has a row for each finished run of a bench."""

import csv
import dataclasses
import json
import pathlib
from typing import Any

from kbnn.runs import RunConfig
from research import provenance, tables

FILE = provenance.ROOT / "results" / "bench.csv"

Key = tuple[str, str, int]
"""Bench, arm and seed of a run."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A finished run.

    Attributes:
        bench: the name of the bench.
        arm: the name of the arm.
        seed: seed of the initial weights, the validation split, the order and the augmentation.
        epochs: passes over the training images.
        validation_accuracy: validation accuracy of the result, in Keras and float32.
        validation_accuracy_before: the same before the statistics of batch normalization were
            measured anew; None if they were not.
        keras_accuracy: test accuracy of the result in Keras. This value and the next three are None
            if the arm is for tuning.
        device_accuracy: test accuracy of the converted file, in kbnn-runtime or, if that is not
            installed, in LCE's interpreter.
        class_agreement: share of test images that get the same class from both.
        file_bytes: size of the file.
        cpu_seconds: processor time of the epochs, including validation; wall time if JAX trained
            the run (`research.paper_scale`).
        train_seconds: wall time of the epochs, on machines that also had other work.
        settings: all settings of the run, as JSON.
        versions: versions of the packages that the numbers depend on, as JSON.
        machine: processor, instruction set, and numbers of cores and threads.
        commit: commit of the repository; "+" means that tracked files outside results/ had
            uncommitted changes.
        date: day on which the run finished.
    """

    bench: str
    arm: str
    seed: int
    epochs: int
    validation_accuracy: float
    validation_accuracy_before: float | None
    keras_accuracy: float | None
    device_accuracy: float | None
    class_agreement: float | None
    file_bytes: int | None
    cpu_seconds: float
    train_seconds: float
    settings: str
    versions: str
    machine: str
    commit: str
    date: str

    @property
    def key(self) -> Key:
        """Bench, arm and seed: the table has one row for each."""
        return self.bench, self.arm, self.seed

    @property
    def accuracy(self) -> float:
        """The accuracy to compare: on the device, or for tuning on the validation images."""
        return self.validation_accuracy if self.device_accuracy is None else self.device_accuracy


_FIELDS = [field.name for field in dataclasses.fields(Row)]
_INTEGERS = ("seed", "epochs", "file_bytes")


def read(file: pathlib.Path = FILE) -> list[Row]:
    """Return the rows of the file; an empty list if there is no file.

    Raises:
        ValueError: the file has other columns.
    """
    if not file.exists():
        return []
    with file.open(newline="") as lines:
        reader = csv.DictReader(lines)
        if reader.fieldnames != _FIELDS:
            raise ValueError(
                f"Expected {file} to have the columns {_FIELDS}. Received: {reader.fieldnames}"
            )
        return [_row(record) for record in reader]


def append(row: Row, file: pathlib.Path = FILE) -> None:
    """Add a row. Several processes may do so at the same time.

    Raises:
        ValueError: the file already has a row for the run.
    """
    with tables.lock(file.parent):
        if row.key in {other.key for other in read(file)}:
            raise ValueError(f"Expected a run that is not in {file} yet. Received: {row.key}")
        tables.append(row, file)


def settings_json(config: RunConfig) -> str:
    """Return the settings of a run for a row, without paths, which differ between machines."""
    return json.dumps(config.to_dict(places=False))


def _row(record: dict[str, str]) -> Row:
    values: dict[str, Any] = dict(record)
    for field in dataclasses.fields(Row):
        text = values[field.name]
        if not text:
            values[field.name] = None
        elif field.name in _INTEGERS:
            values[field.name] = int(text)
        elif field.name.endswith(("accuracy", "before", "agreement", "seconds")):
            values[field.name] = float(text)
    return Row(**values)
