"""Describes the results of an arm in words and figures, with accuracies in percent."""

import dataclasses
import statistics

from research.bench_results import BenchResults
from research.bench_statistics import Difference


@dataclasses.dataclass(frozen=True)
class Summary:
    """The table cells of an arm, as text.

    Attributes:
        runs: number of its runs.
        accuracy: mean and standard deviation.
        effect: difference from the arm that it is compared with, and its interval.
        least_seen: the smallest effect that such a comparison finds in 80 of 100 cases.
        time: processor time divided by the baseline's.
        equal_time: difference from plain training that takes as long.
        verdict: what the intervals show, in words.
    """

    runs: str
    accuracy: str
    effect: str
    least_seen: str
    time: str
    equal_time: str
    verdict: str


def summarize(results: BenchResults, arm: str) -> Summary:
    """Return the table cells of an arm."""
    effect, equal = results.effect(arm), results.equal_time(arm)
    ratio = results.time_ratio(arm)
    at_equal_time = None if equal is None else equal.difference
    is_beyond = equal is not None and equal.is_beyond
    verdicts = ["" if effect is None else verdict(effect)]
    if at_equal_time is not None and at_equal_time.low is not None and not is_beyond:
        verdicts.append(f"at equal time {verdict(at_equal_time)}")
    return Summary(
        str(len(results.rows[arm])),
        format_accuracies(results.accuracies(arm)),
        "" if effect is None else format_difference(effect) + _note(results, arm),
        format_points(None if effect is None else effect.least_seen),
        "" if ratio is None else f"{ratio:.2f}",
        ""
        if at_equal_time is None
        else format_difference(at_equal_time) + (" (beyond)" if is_beyond else ""),
        "; ".join(filter(None, verdicts)),
    )


def verdict(found: Difference) -> str:
    """Return what an interval shows, in words."""
    if found.low is None or found.high is None:
        return "too few runs for an interval"
    if found.low > 0:
        return f"better by {format_points(found.low)} to {format_points(found.high)} points"
    if found.high < 0:
        return f"worse by {format_points(-found.high)} to {format_points(-found.low)} points"
    most = max(-found.low, found.high)
    return f"no effect above {format_points(most)} points could be seen"


def describe_spread(results: BenchResults) -> str:
    """Return sentences about the spread behind the intervals of a bench."""
    spread = results.spread
    if spread.deviation is None:
        return "No arm has two runs, so there are no intervals."
    text = (
        f"The spread over seeds is {format_points(spread.deviation)} points, pooled over the arms "
        f"({spread.degrees} degrees of freedom)."
    )
    if results.wide_arms:
        names = " and ".join(f"`{arm}`" for arm in results.wide_arms)
        text += f" The spread of {names} is clearly larger and is not pooled (Welch's intervals)."
    return text


def format_accuracies(accuracies: list[float]) -> str:
    """Return mean and standard deviation."""
    text = format_points(statistics.fmean(accuracies))
    return (
        text if len(accuracies) < 2 else f"{text} +- {format_points(statistics.stdev(accuracies))}"
    )


def format_difference(found: Difference) -> str:
    """Return a difference with its interval."""
    text = f"{100 * found.mean:+.2f}"
    if found.low is None or found.high is None:
        return text
    return f"{text} [{100 * found.low:+.2f}, {100 * found.high:+.2f}]"


def format_points(share: float | None) -> str:
    """Return a share in percent, or an empty text for None."""
    return "" if share is None else f"{100 * share:.2f}"


def _note(results: BenchResults, arm: str) -> str:
    """Return how an effect was measured, if it differs from most arms."""
    against = results.against(arm)
    notes = [
        "" if against == results.bench.baseline else f"against {against}",
        "paired" if results.is_paired(arm) else "",
        "validation" if results.is_on_validation(arm) else "",
    ]
    given = ", ".join(filter(None, notes))
    return f" ({given})" if given else ""
