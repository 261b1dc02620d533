"""Times of steps that take turns, and what they say about each other."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence


def take_turns(
    steps: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    steps_per_round: int,
    warm_up: int = 3,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Time every step once a round, so that a load on the machine meets all of them alike.

    Args:
        steps: functions that run one training step to its end.
        rounds: how often each takes its turn.
        steps_per_round: steps in a turn.
        warm_up: steps of each before the first round; tracing and first allocations fall in here.
        clock: returns seconds.

    Returns:
        For each step, its mean seconds in each round.
    """
    for step in steps.values():
        _repeat(step, warm_up)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            start = clock()
            _repeat(step, steps_per_round)
            seconds[name].append((clock() - start) / steps_per_round)
    return seconds


@dataclasses.dataclass(frozen=True)
class Ratio:
    """How much longer a step takes than its baseline.

    Attributes:
        median: of the ratios of the rounds.
        lower_quartile: a quarter of the rounds have a smaller ratio.
        upper_quartile: a quarter of the rounds have a larger one.
    """

    median: float
    lower_quartile: float
    upper_quartile: float


def ratio(seconds: Sequence[float], baseline: Sequence[float]) -> Ratio:
    """Compare the times of a step and its baseline, round by round."""
    ratios = [one / other for one, other in zip(seconds, baseline, strict=True)]
    lower, median, upper = statistics.quantiles(ratios, n=4, method="inclusive")
    return Ratio(median, lower, upper)


def _repeat(step: Callable[[], object], count: int) -> None:
    for _ in range(count):
        step()
