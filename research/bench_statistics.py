"""Computes differences of mean accuracies, with their intervals and their power."""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence

from scipy import optimize, stats

CONFIDENCE = 0.95
POWER = 0.8


@dataclasses.dataclass(frozen=True)
class Difference:
    """A difference of two mean accuracies.

    Attributes:
        mean: the difference.
        low: lower end of its 95 % confidence interval; None without an interval.
        high: upper end.
        least_seen: the smallest true difference that such a comparison finds in 80 of 100 cases
            (two-sided t test at 5 %), if the true spread is the measured one.
    """

    mean: float
    low: float | None
    high: float | None
    least_seen: float | None


@dataclasses.dataclass(frozen=True)
class Spread:
    """A standard deviation over seeds.

    Attributes:
        deviation: the sample standard deviation; None if no group has two runs.
        degrees: its degrees of freedom.
        group: the group that has this spread; None if several groups share it.
    """

    deviation: float | None
    degrees: int
    group: str | None = None


@dataclasses.dataclass(frozen=True)
class Term:
    """A term in a weighted sum of means: the mean of a group of independent runs.

    Attributes:
        weight: its factor in the sum.
        values: the accuracies of the runs.
        spread: the spread of the group.
    """

    weight: float
    values: Sequence[float]
    spread: Spread


def pooled_spread(groups: Sequence[Sequence[float]]) -> Spread:
    """Pool the standard deviations of groups, each taken around the mean of its group."""
    several = [group for group in groups if len(group) > 1]
    degrees = sum(len(group) - 1 for group in several)
    if not degrees:
        return Spread(None, 0)
    squares = sum((len(group) - 1) * statistics.variance(group) for group in several)
    return Spread(math.sqrt(squares / degrees), degrees)


def wide_groups(groups: Mapping[str, Sequence[float]]) -> list[str]:
    """Return the groups whose spread is clearly larger than the other groups' spread.

    In each step, an F test compares the spread of each remaining group with the pooled spread of
    the others. The group with the most significant excess is removed if its test passes at 5 %,
    divided by the number of groups. A group with a smaller spread is kept: the pooled spread only
    makes its intervals wider than necessary.
    """
    left = {name: group for name, group in groups.items() if len(group) > 1}
    level = (1 - CONFIDENCE) / max(1, len(left))
    found: list[str] = []
    while len(left) > 1:
        chances = {name: _chance_of_spread(name, left) for name in left}
        widest = min(chances, key=lambda name: chances[name])
        if chances[widest] >= level:
            break
        del left[widest]
        found.append(widest)
    return found


def _chance_of_spread(name: str, groups: Mapping[str, Sequence[float]]) -> float:
    """Return the probability of a spread at least this large if all groups have the same one."""
    others = pooled_spread([group for other, group in groups.items() if other != name])
    if not others.deviation:
        return 1.0
    ratio = statistics.variance(groups[name]) / others.deviation**2
    return float(stats.f.sf(ratio, len(groups[name]) - 1, others.degrees))


def spreads(groups: Mapping[str, Sequence[float]]) -> dict[str, Spread]:
    """Return the spread of each group: the pooled one, or the group's own if clearly larger."""
    wide = wide_groups(groups)
    pooled = pooled_spread([group for name, group in groups.items() if name not in wide])
    own = {
        name: dataclasses.replace(pooled_spread([groups[name]]), group=name)
        for name in groups
        if name in wide
    }
    return {name: own.get(name, pooled) for name in groups}


def weighted_sum(terms: Sequence[Term]) -> Difference:
    """Return a weighted sum of means, with its interval.

    If all groups share one spread, the interval is Student's. Otherwise it is Welch's, with the
    degrees of freedom from Satterthwaite's formula.
    """
    mean = sum(term.weight * statistics.fmean(term.values) for term in terms)
    variances: dict[Spread, float] = {}
    for term in terms:
        if term.spread.deviation is None:
            return Difference(mean, None, None, None)
        own = (term.weight * term.spread.deviation) ** 2 / len(term.values)
        variances[term.spread] = variances.get(term.spread, 0.0) + own
    variance = sum(variances.values())
    if not variance:
        return Difference(mean, mean, mean, 0.0)
    degrees = variance**2 / sum(own**2 / spread.degrees for spread, own in variances.items())
    error = math.sqrt(variance)
    margin = error * stats.t.ppf((1 + CONFIDENCE) / 2, degrees)
    return Difference(mean, mean - margin, mean + margin, error * _noncentrality(degrees))


def mean_difference(differences: Sequence[float]) -> Difference:
    """Return the mean of independent differences, with its interval."""
    return weighted_sum([Term(1.0, differences, pooled_spread([differences]))])


def _noncentrality(degrees: float) -> float:
    """Return the effect, in standard errors, that a t test finds with probability `POWER`."""
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, degrees)

    def missing_power(effect: float) -> float:
        return float(stats.nct.sf(quantile, degrees, effect)) - POWER

    return float(optimize.brentq(missing_power, 0.1, 3 * quantile + 3))
