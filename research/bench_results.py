"""Compares the arms of a bench by their rows."""

import dataclasses
import math
import statistics
from collections.abc import Sequence

from research.bench_statistics import (
    Difference,
    Spread,
    Term,
    mean_difference,
    spreads,
    weighted_sum,
)
from research.bench_table import Row
from research.benches import Bench

# An arm that takes longer than this, times the longest plain training, counts as beyond it.
_TOLERANCE = 1.05


@dataclasses.dataclass(frozen=True)
class EqualTime:
    """An arm compared with the baseline trained for as long.

    Attributes:
        ratio: the arm's processor time, including the networks that it needs, divided by the
            baseline's.
        difference: the difference from the baseline trained for this time; None if no arm of the
            time curve can be compared.
        is_beyond: whether the arm takes longer than the longest plain training. It is then compared
            with that training, which favours the arm.
    """

    ratio: float
    difference: Difference | None
    is_beyond: bool


class BenchResults:
    """The rows of a bench, and comparisons between its arms.

    Intervals describe the variation over seeds, for these test images. Comparisons are unpaired
    and use a spread that the arms share, unless two arms contain trainings of the same networks.

    Args:
        bench: the bench.
        rows: rows of any benches. Rows of other benches, and of arms that the bench no longer has,
            are ignored.
    """

    def __init__(self, bench: Bench, rows: Sequence[Row]) -> None:
        self.bench = bench
        self.rows: dict[str, dict[int, Row]] = {name: {} for name in bench.arms}
        for row in rows:
            if row.bench == bench.name and row.arm in self.rows:
                self.rows[row.arm][row.seed] = row
        measured = [name for name in bench.arms if self.rows[name]]
        tested = [name for name in measured if not bench.arms[name].is_tuning]
        self._spreads = {
            is_tuning: spreads({name: self._values(name, is_tuning) for name in names})
            for is_tuning, names in ((False, tested), (True, measured))
        }

    @property
    def arms(self) -> list[str]:
        """The arms that have rows."""
        return [name for name in self.bench.arms if self.rows[name]]

    @property
    def spread(self) -> Spread:
        """The spread that the arms share."""
        shared = (each for each in self._spreads[False].values() if each.group is None)
        return next(shared, Spread(None, 0))

    @property
    def wide_arms(self) -> list[str]:
        """The arms whose spread is clearly larger, so that the shared spread leaves them out."""
        return [name for name, each in self._spreads[False].items() if each.group is not None]

    def accuracies(self, arm: str) -> list[float]:
        """Return the accuracies of an arm, by seed."""
        return self._values(arm, self.bench.arms[arm].is_tuning)

    def against(self, arm: str) -> str:
        """Return the name of the arm that an arm is compared with."""
        return self.bench.arms[arm].against or self.bench.baseline

    def is_paired(self, arm: str) -> bool:
        """Whether an arm is compared seed by seed.

        This is the case if the two arms contain trainings of the same networks: both start from the
        same networks, or one of them starts from the other's.
        """
        shared = self._trainings(arm) & self._trainings(self.against(arm))
        return bool(shared) and len(self._common_seeds(arm)) > 1

    def is_on_validation(self, arm: str) -> bool:
        """Whether an arm is compared on the validation images."""
        return any(self.bench.arms[name].is_tuning for name in (arm, self.against(arm)))

    def effect(self, arm: str) -> Difference | None:
        """Return the difference from the arm that an arm is compared with; None without rows.

        If one of the two is for tuning, the accuracies on the validation images are compared.
        """
        other = self.against(arm)
        own, others = self.rows[arm], self.rows[other]
        if arm == other or not own or not others:
            return None
        is_tuning = self.is_on_validation(arm)
        if self.is_paired(arm):
            pairs = ((own[seed], others[seed]) for seed in self._common_seeds(arm))
            return mean_difference(
                [_value(row, is_tuning) - _value(other, is_tuning) for row, other in pairs]
            )
        return weighted_sum([self._term(1.0, arm, is_tuning), self._term(-1.0, other, is_tuning)])

    def time_ratio(self, arm: str) -> float | None:
        """Return an arm's processor time divided by the baseline's; None if no machine has both.

        The time of each network that the arm needs, directly or not, counts once. Only times from
        the same machine are compared. An arm's time is the median of its runs, because other work
        on the machine makes single runs longer.
        """
        own, unit = self._seconds(arm), self._seconds(self.bench.baseline)
        common = own.keys() & unit.keys()
        runs = [row.machine for row in self.rows[arm].values() if row.machine in common]
        return statistics.fmean(own[at] / unit[at] for at in runs) if runs else None

    def equal_time(self, arm: str) -> EqualTime | None:
        """Compare an arm with plain training that takes as long; None if it does not apply.

        The accuracy of plain training is interpolated between the arms of the time curve, linearly
        in the logarithm of the time. The curve is flatter towards its end, so the true accuracy
        between two of them is slightly higher. An arm that is faster than all of them is compared
        with the fastest. The interval treats the ratio of times as exact.
        """
        ratio = self.time_ratio(arm)
        if ratio is None or self.bench.arms[arm].is_tuning or arm in self._plain:
            return None
        curve = sorted(
            (time, name)
            for name in self.bench.time_curve
            if (time := self.time_ratio(name)) is not None
        )
        if not curve:
            return EqualTime(ratio, None, False)
        times = [time for time, _ in curve]
        terms = [
            self._term(-weight, curve[i][1], False)
            for i, weight in interpolation_weights(times, ratio).items()
        ]
        found = weighted_sum([self._term(1.0, arm, False), *terms])
        return EqualTime(ratio, found, ratio > _TOLERANCE * times[-1])

    @property
    def _plain(self) -> set[str]:
        return {self.bench.baseline, *self.bench.time_curve}

    def _common_seeds(self, arm: str) -> list[int]:
        return sorted(self.rows[arm].keys() & self.rows[self.against(arm)].keys())

    def _trainings(self, arm: str | None) -> set[str]:
        """Return an arm, the arm whose networks it starts from, and so on."""
        return set() if arm is None else {arm, *self._trainings(self.bench.arms[arm].begins_with)}

    def _term(self, weight: float, arm: str, is_tuning: bool) -> Term:
        return Term(weight, self._values(arm, is_tuning), self._spreads[is_tuning][arm])

    def _values(self, arm: str, is_tuning: bool) -> list[float]:
        return [_value(row, is_tuning) for _, row in sorted(self.rows[arm].items())]

    def _seconds(self, arm: str) -> dict[str, float]:
        """Return the processor time of an arm and of the networks that it needs, by machine."""
        times: list[dict[str, float]] = []
        for name in (arm, *self.bench.needed(arm)):
            found: dict[str, list[float]] = {}
            for row in self.rows[name].values():
                found.setdefault(row.machine, []).append(row.cpu_seconds)
            times.append({machine: statistics.median(each) for machine, each in found.items()})
        common = set(times[0]).intersection(*times[1:])
        return {machine: sum(each[machine] for each in times) for machine in common}


def check_settings(bench: Bench, rows: Sequence[Row]) -> None:
    """Raise ValueError if the settings of an arm differ from the settings in one of its rows."""
    for row in rows:
        if row.bench != bench.name or row.arm not in bench.arms:
            continue
        changes = bench.changes_since(row.arm, row.seed, row.settings)
        if changes:
            differing = ", ".join(
                f"{name} {now} (its row: {before})" for name, (before, now) in changes.items()
            )
            raise ValueError(
                f"Expected {bench.name} {row.arm} with the settings of its row of seed {row.seed}. "
                f"Received: {differing}. Give the changed arm another name, or remove the rows of "
                "the old one."
            )


def interpolation_weights(times: Sequence[float], time: float) -> dict[int, float]:
    """Return the weights with which ascending times give a time, by index.

    A time outside their range takes the nearest of them.
    """
    if time >= times[-1]:
        return {len(times) - 1: 1.0}
    if time <= times[0]:
        return {0: 1.0}
    right = next(i for i, other in enumerate(times) if other > time)
    low, high = math.log(times[right - 1]), math.log(times[right])
    share = (math.log(time) - low) / (high - low)
    return {right - 1: 1 - share, right: share}


def _value(row: Row, is_tuning: bool) -> float:
    return row.validation_accuracy if is_tuning else row.accuracy
