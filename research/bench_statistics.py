"""Statistics of a bench: differences between arms, their intervals, and what they could show."""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence

from scipy import stats

from research.bench_table import Row
from research.benches import Bench

POWER = 0.8


@dataclasses.dataclass(frozen=True)
class Difference:
    """A difference of two mean accuracies.

    Attributes:
        mean: the difference.
        low: lower end of its 95 % confidence interval; None if it cannot be computed.
        high: upper end.
        least_seen: the smallest true difference that such a comparison finds in 80 of 100 cases
            (two-sided test at 5 %).
    """

    mean: float
    low: float | None
    high: float | None
    least_seen: float | None


@dataclasses.dataclass(frozen=True)
class Spread:
    """The standard deviation over seeds that all arms of a bench share.

    Attributes:
        deviation: the pooled sample standard deviation; None if no arm has two runs.
        degrees: its degrees of freedom.
    """

    deviation: float | None
    degrees: int


def pooled_spread(groups: Sequence[Sequence[float]]) -> Spread:
    """Pool the standard deviations of groups, each around its own mean."""
    several = [group for group in groups if len(group) > 1]
    degrees = sum(len(group) - 1 for group in several)
    if not degrees:
        return Spread(None, 0)
    squares = sum((len(group) - 1) * statistics.variance(group) for group in several)
    return Spread(math.sqrt(squares / degrees), degrees)


def difference(mean: float, variance: float, spread: Spread) -> Difference:
    """Return a difference whose variance is `variance` times that of one run."""
    if spread.deviation is None:
        return Difference(mean, None, None, None)
    error = spread.deviation * math.sqrt(variance)
    quantile = stats.t.ppf(0.975, spread.degrees)
    least_seen = (quantile + stats.t.ppf(POWER, spread.degrees)) * error
    return Difference(mean, mean - quantile * error, mean + quantile * error, least_seen)


def unpaired(own: Sequence[float], others: Sequence[float], spread: Spread) -> Difference:
    """Return the difference of two groups of independent runs, by the spread of the bench."""
    mean = statistics.fmean(own) - statistics.fmean(others)
    return difference(mean, 1 / len(own) + 1 / len(others), spread)


def paired(own: Mapping[int, float], others: Mapping[int, float]) -> Difference:
    """Return the difference of runs that share a network, seed by seed."""
    found = [own[seed] - others[seed] for seed in own.keys() & others.keys()]
    spread = pooled_spread([found])
    return difference(statistics.fmean(found), 1 / len(found), spread)


@dataclasses.dataclass(frozen=True)
class EqualTime:
    """An arm compared with the baseline trained for as long.

    Attributes:
        ratio: the arm's processor time, with the networks that it needs, by the baseline's.
        difference: against the baseline trained for this time; None if no arm of the time curve
            has a row.
        is_beyond: whether the time is longer than the longest one measured, with which the arm is
            then compared.
    """

    ratio: float
    difference: Difference | None
    is_beyond: bool


class BenchResults:
    """The rows of a bench, and what they say.

    Args:
        bench: the bench.
        rows: rows of any benches; those of other benches, or of arms that the bench no longer has,
            are left out.
    """

    def __init__(self, bench: Bench, rows: Sequence[Row]) -> None:
        self.bench = bench
        self.rows: dict[str, dict[int, Row]] = {name: {} for name in bench.arms}
        for row in rows:
            if row.bench == bench.name and row.arm in self.rows:
                self.rows[row.arm][row.seed] = row
        measured = [name for name, arm in bench.arms.items() if not arm.is_tuning]
        self.spread = pooled_spread([self.accuracies(name) for name in measured])

    def accuracies(self, arm: str) -> list[float]:
        """Return the accuracies of an arm, by seed."""
        return [row.accuracy for _, row in sorted(self.rows[arm].items())]

    def against(self, arm: str) -> str:
        """Return the arm that an arm is compared with."""
        return self.bench.arms[arm].against or self.bench.baseline

    def shares_networks(self, arm: str) -> bool:
        """Whether an arm and the one it is compared with go on with the same networks."""
        first, second = (self.bench.arms[name].begins_with for name in (arm, self.against(arm)))
        return first is not None and first == second

    def effect(self, arm: str) -> Difference | None:
        """Return the difference to the arm that an arm is compared with; None without rows."""
        other = self.against(arm)
        own, others = self.rows[arm], self.rows[other]
        if arm == other or not own or not others:
            return None
        if self.bench.arms[arm].is_tuning != self.bench.arms[other].is_tuning:
            means = [
                statistics.fmean(row.validation_accuracy for row in rows.values())
                for rows in (own, others)
            ]
            return Difference(means[0] - means[1], None, None, None)
        if self.shares_networks(arm) and len(own.keys() & others.keys()) > 1:
            return paired(
                *({seed: row.accuracy for seed, row in rows.items()} for rows in (own, others))
            )
        return unpaired(self.accuracies(arm), self.accuracies(other), self.spread)

    def seconds(self, arm: str) -> float | None:
        """Return the mean processor time of an arm, with the networks that it needs."""
        rows = self.rows[arm].values()
        parts = [self.seconds(name) for name in self.bench.arms[arm].needs]
        if not rows or None in parts:
            return None
        return statistics.fmean(row.cpu_seconds for row in rows) + sum(filter(None, parts))

    def equal_time(self, arm: str) -> EqualTime | None:
        """Compare an arm with plain training that takes as long; None without rows.

        The accuracy of plain training is interpolated between the arms of the time curve, linearly
        in the logarithm of the time.
        """
        own, unit = self.seconds(arm), self.seconds(self.bench.baseline)
        if own is None or unit is None or self.bench.arms[arm].is_tuning:
            return None
        curve = sorted(
            (seconds, name)
            for name in self.bench.time_curve
            if (seconds := self.seconds(name)) is not None
        )
        weights, is_beyond = _interpolation([seconds for seconds, _ in curve], own)
        groups = [(weight, self.accuracies(curve[i][1])) for i, weight in weights.items()]
        if not groups:
            return EqualTime(own / unit, None, False)
        accuracies = self.accuracies(arm)
        mean = statistics.fmean(accuracies) - sum(w * statistics.fmean(g) for w, g in groups)
        variance = 1 / len(accuracies) + sum(w**2 / len(g) for w, g in groups)
        return EqualTime(own / unit, difference(mean, variance, self.spread), is_beyond)


def _interpolation(times: Sequence[float], time: float) -> tuple[dict[int, float], bool]:
    """Return the weights of the measured times around a time, and whether it is beyond them all."""
    if not times:
        return {}, False
    if time >= times[-1]:
        return {len(times) - 1: 1.0}, time > 1.05 * times[-1]
    if time <= times[0]:
        return {0: 1.0}, False
    right = next(i for i, other in enumerate(times) if other > time)
    low, high = math.log(times[right - 1]), math.log(times[right])
    share = (math.log(time) - low) / (high - low)
    return {right - 1: 1 - share, right: share}, False
