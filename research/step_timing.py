"""Times of steps that take turns, and what they say about each other."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence


@dataclasses.dataclass(frozen=True)
class Turn:
    """Mean seconds per step in a turn.

    Attributes:
        wall: as a clock on the wall has it.
        cpu: of all threads of this process; other processes have little part in it.
    """

    wall: float
    cpu: float


def take_turns(
    steps: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    steps_per_round: int,
    warm_up: int = 3,
    wall_clock: Callable[[], float] = time.perf_counter,
    cpu_clock: Callable[[], float] = time.process_time,
) -> dict[str, list[Turn]]:
    """Time every step once a round, so that a load on the machine meets all of them alike.

    Args:
        steps: functions that run one training step to its end.
        rounds: how often each takes its turn.
        steps_per_round: timed steps in a turn. One more, before them, is not timed: it finds
            caches and memory as the step before left them.
        warm_up: steps of each before the first round; tracing falls in here.
        wall_clock: returns seconds.
        cpu_clock: returns seconds of processor time.

    Returns:
        For each step, its turns.
    """
    for step in steps.values():
        _repeat(step, warm_up)
    turns: dict[str, list[Turn]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            step()
            wall, cpu = wall_clock(), cpu_clock()
            _repeat(step, steps_per_round)
            wall, cpu = wall_clock() - wall, cpu_clock() - cpu
            turns[name].append(Turn(wall / steps_per_round, cpu / steps_per_round))
    return turns


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
