"""results/accuracy.csv: a row for each finished run, and what the rows say together."""

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
from research import provenance

FILE = provenance.ROOT / "results" / "accuracy.csv"

Mode = Literal["screening", "final"]


@dataclasses.dataclass(frozen=True)
class Row:
    """A finished run.

    Attributes:
        experiment: its name in `research.experiments.EXPERIMENTS`.
        mode: "screening" (a third of the epochs, no test images) or "final".
        seed: of weights, split, order and augmentation.
        epochs: passes over the training images.
        validation_accuracy: of the last epoch's model, in Keras.
        keras_accuracy: of the last epoch's model on the test images; None in screening.
        device_accuracy: of the converted file on the same images, in LCE's interpreter.
        class_agreement: share of test images with the same class in both.
        smooth_accuracy: of `kbnn.techniques.smooth_network` on the same images; None without a
            smooth sign.
        smooth_agreement: share of test images with the same class in the smooth network and in that
            of signs.
        file_bytes: size of the file.
        train_seconds: wall time of the epochs; machines are shared, so it is a rough number.
        settings: the whole configuration of the run, as JSON.
        versions: of the packages that the numbers depend on, as JSON.
        machine: processor and number of cores.
        commit: the state of the repository; "+" behind it if files were changed.
        date: on which the run was finished.
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
        """What there is one row of."""
        return self.experiment, self.mode, self.seed

    @property
    def accuracy(self) -> float:
        """The accuracy that counts: the device file's; in screening the validation split's."""
        return self.validation_accuracy if self.device_accuracy is None else self.device_accuracy


_FIELDS = [field.name for field in dataclasses.fields(Row)]
_OPTIONAL = (
    *("keras_accuracy", "device_accuracy", "class_agreement", "file_bytes"),
    *("smooth_accuracy", "smooth_agreement"),
)


def read(file: pathlib.Path = FILE) -> list[Row]:
    """The rows of the file; none if there is no file.

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
    """Add a row, in one write: several processes may add to a file.

    Raises:
        ValueError: the file has that run already.
    """
    rows = read(file)
    if row.key in {other.key for other in rows}:
        raise ValueError(f"Expected a run that {file} has not. Received: {row.key}")
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _FIELDS, lineterminator="\n")
    if not file.exists():
        writer.writeheader()
    writer.writerow(dataclasses.asdict(row))
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", newline="") as lines:
        lines.write(text.getvalue())


def same_settings(row: Row, settings: dict[str, Any]) -> bool:
    """Whether a row's run had these settings; those that came later were at their defaults."""
    before, now = (
        RunConfig.from_dict(each).to_dict() for each in (json.loads(row.settings), settings)
    )
    return before == now


@dataclasses.dataclass(frozen=True)
class Spread:
    """Mean and spread of an experiment.

    Attributes:
        runs: number of seeds.
        mean: of the accuracy that counts.
        deviation: sample standard deviation; None for one run.
    """

    runs: int
    mean: float
    deviation: float | None


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(len(values), statistics.fmean(values), deviation)


@dataclasses.dataclass(frozen=True)
class Difference:
    """An experiment against another, seed by seed.

    Attributes:
        runs: number of seeds that both have.
        mean: mean difference of the accuracy that counts.
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
    """The differences of runs with the same seed; None if there are none.

    Args:
        rows: of one experiment.
        others: of another one.
        groups: where seeds that leave the same remainder go on with one network, the number of
            networks: the means over their seeds are what the interval takes as independent.
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
    """The mean of independent differences, one a run, with its interval."""
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
