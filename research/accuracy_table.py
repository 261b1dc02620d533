"""results/accuracy.csv: a row for each finished run, and the statistics of the rows."""

import csv
import dataclasses
import io
import json
import pathlib
import statistics
from collections.abc import Sequence
from typing import Any, Literal

from scipy import stats

from kbnn.runs import RunConfig
from kbnn.runs.run_config import flatten_settings
from research import provenance

FILE = provenance.ROOT / "results" / "accuracy.csv"

Mode = Literal["screening", "final"]


@dataclasses.dataclass(frozen=True)
class Row:
    """A finished run.

    Attributes:
        experiment: its name in `research.experiments.EXPERIMENTS`.
        mode: "screening" (a third of the epochs, no test images) or "final".
        seed: seed of weights, split, order and augmentation.
        epochs: passes over the training images.
        validation_accuracy: validation accuracy of the last epoch's model, in Keras.
        keras_accuracy: test accuracy of the last epoch's model; None in screening.
        device_accuracy: test accuracy of the converted file, in LCE's interpreter.
        class_agreement: share of test images that get the same class from both.
        smooth_accuracy: test accuracy of `kbnn.techniques.smooth_network`; None if no sign is
            smooth.
        smooth_agreement: share of test images that get the same class with smooth signs and with
            signs.
        file_bytes: size of the file.
        train_seconds: wall time of the epochs, on machines that also had other work.
        settings: all settings of the run, as JSON.
        versions: versions of the packages that the numbers depend on, as JSON.
        machine: processor and number of cores.
        commit: commit of the repository; "+" means that files had been edited.
        date: day on which the run finished.
    """

    experiment: str
    mode: Mode
    seed: int
    epochs: int
    validation_accuracy: float
    keras_accuracy: float | None
    device_accuracy: float | None
    class_agreement: float | None
    smooth_accuracy: float | None
    smooth_agreement: float | None
    file_bytes: int | None
    train_seconds: float
    settings: str
    versions: str
    machine: str
    commit: str
    date: str

    @property
    def key(self) -> tuple[str, str, int]:
        """Experiment, mode and seed: the table has one row for each."""
        return self.experiment, self.mode, self.seed

    @property
    def accuracy(self) -> float:
        """The accuracy to compare: of the device file, or of the validation images in screening."""
        return self.validation_accuracy if self.device_accuracy is None else self.device_accuracy


_FIELDS = [field.name for field in dataclasses.fields(Row)]
_OPTIONAL = (
    *("keras_accuracy", "device_accuracy", "class_agreement", "file_bytes"),
    *("smooth_accuracy", "smooth_agreement"),
)


def read(file: pathlib.Path = FILE) -> list[Row]:
    """Return the rows of the file; none if there is no file.

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
    """Add a row in one write, because several processes may add rows at the same time.

    Raises:
        ValueError: the file already has a row for the run.
    """
    rows = read(file)
    if row.key in {other.key for other in rows}:
        raise ValueError(f"Expected a run that is not in {file} yet. Received: {row.key}")
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _FIELDS, lineterminator="\n")
    if not file.exists():
        writer.writeheader()
    writer.writerow(dataclasses.asdict(row))
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", newline="") as lines:
        lines.write(text.getvalue())


def same_settings(row: Row, config: RunConfig) -> bool:
    """Whether a run had these settings. A setting that its row does not have was at its default."""
    before = flatten_settings(json.loads(row.settings))
    now, changed = (
        flatten_settings(json.loads(json.dumps(config.to_dict(places=False, defaults=defaults))))
        for defaults in (True, False)
    )
    return changed.keys() <= before.keys() and before.items() <= now.items()


@dataclasses.dataclass(frozen=True)
class Spread:
    """Mean and spread of an experiment.

    Attributes:
        runs: number of seeds.
        mean: mean accuracy.
        deviation: sample standard deviation; None for one run.
    """

    runs: int
    mean: float
    deviation: float | None


def spread(values: Sequence[float]) -> Spread:
    """Return mean and sample standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(len(values), statistics.fmean(values), deviation)


@dataclasses.dataclass(frozen=True)
class Difference:
    """The difference between two experiments, seed by seed.

    Attributes:
        runs: number of seeds that both have.
        mean: mean difference of the accuracy.
        low: lower end of its 95 % confidence interval (Student's t); None for one run.
        high: upper end.
    """

    runs: int
    mean: float
    low: float | None
    high: float | None


def paired_difference(
    rows: Sequence[Row], others: Sequence[Row], groups: int | None = None
) -> Difference | None:
    """Return the difference over runs with the same seed; None if there are none.

    Args:
        rows: rows of one experiment.
        others: rows of the other experiment.
        groups: number of networks that fine-tuning started from. Seeds with the same remainder
            share a network, so the interval takes the means over their seeds as independent.
    """
    by_seed = {row.seed: row.accuracy for row in others}
    pairs = {row.seed: row.accuracy - by_seed[row.seed] for row in rows if row.seed in by_seed}
    if not pairs:
        return None
    grouped: dict[int, list[float]] = {}
    for seed, difference in pairs.items():
        grouped.setdefault(seed if groups is None else seed % groups, []).append(difference)
    found = mean_difference([statistics.fmean(group) for group in grouped.values()])
    return dataclasses.replace(found, runs=len(pairs))


def mean_difference(differences: Sequence[float]) -> Difference:
    """Return the mean of independent differences, with its 95 % interval."""
    count, mean, deviation = dataclasses.astuple(spread(differences))
    if deviation is None:
        return Difference(count, mean, None, None)
    margin = stats.t.ppf(0.975, count - 1) * deviation / count**0.5
    return Difference(count, mean, mean - margin, mean + margin)


def _row(record: dict[str, str]) -> Row:
    values: dict[str, Any] = dict(record)
    for field in dataclasses.fields(Row):
        text = values[field.name]
        if field.name in _OPTIONAL and not text:
            values[field.name] = None
        elif field.name in ("seed", "epochs", "file_bytes"):
            values[field.name] = int(text)
        elif field.name.endswith(("accuracy", "agreement", "seconds")):
            values[field.name] = float(text)
    return Row(**values)
