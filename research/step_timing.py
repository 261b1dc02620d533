"""Times steps in turns, and compares them."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence


@dataclasses.dataclass(frozen=True)
class Turn:
    """Mean seconds per step in a turn.

    Attributes:
        wall: wall time.
        cpu: processor time of all threads of this process, which other processes hardly affect.
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
    """Time every step once in each round, so that other work on the machine affects all alike.

    Args:
        steps: functions that run one training step to its end.
        rounds: number of rounds.
        steps_per_round: timed steps in a turn. One more step runs before them without being timed,
            because it finds caches and memory as another step left them.
        warm_up: steps of each function before the first round, tracing included.
        wall_clock: returns seconds.
        cpu_clock: returns seconds of processor time.

    Returns:
        The turns of each step.
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
        median: median ratio of the rounds.
        lower_quartile: a quarter of the rounds have a smaller ratio.
        upper_quartile: a quarter of the rounds have a larger ratio.
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
