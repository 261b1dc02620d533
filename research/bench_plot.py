"""Draws a bench: each arm's effect with its interval, as trained and at equal time."""

import pathlib

from matplotlib.figure import Figure

from kbnn._files import replace_file
from research.bench_results import BenchResults
from research.bench_statistics import Difference


def draw(results: BenchResults, file: pathlib.Path) -> None:
    """Write the picture as PNG."""
    arms = shown_arms(results)
    figure = Figure(figsize=(9, 1.2 + 0.45 * len(arms)), layout="constrained")
    axes = figure.subplots()
    for offset, marker, label, of in (
        (-0.13, "o", "as trained", results.effect),
        (0.13, "s", "at equal time", lambda arm: _at_equal_time(results, arm)),
    ):
        points = [(i + offset, found) for i, arm in enumerate(arms) if (found := of(arm))]
        if points:
            axes.errorbar(
                [100 * found.mean for _, found in points],
                [place for place, _ in points],
                xerr=list(zip(*(_margins(found) for _, found in points), strict=True)),
                fmt=marker,
                capsize=3,
                label=label,
            )
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.set_yticks(range(len(arms)), arms)
    axes.invert_yaxis()
    axes.set_xlabel("effect in points, with its 95 % confidence interval")
    axes.set_title(results.bench.title, fontsize="medium")
    axes.legend()
    with replace_file(file) as temporary:
        figure.savefig(temporary, dpi=100, metadata={"Software": None})


def shown_arms(results: BenchResults) -> list[str]:
    """Return the arms that the picture shows: those whose effect has an interval.

    The picture leaves out the baseline with other numbers of epochs. It also leaves out real-valued
    networks, because next to their large effects the others would be hard to see.
    """
    arms = [arm for arm in results.arms if arm not in results.bench.time_curve]
    found = {arm: results.effect(arm) for arm in arms if not results.bench.arms[arm].is_real}
    return [arm for arm, effect in found.items() if effect is not None and effect.low is not None]


def _at_equal_time(results: BenchResults, arm: str) -> Difference | None:
    equal = results.equal_time(arm)
    return None if equal is None or equal.is_beyond else equal.difference


def _margins(found: Difference) -> tuple[float, float]:
    """Return the length of an interval below and above its mean, in points."""
    if found.low is None or found.high is None:
        return 0.0, 0.0
    return 100 * (found.mean - found.low), 100 * (found.high - found.mean)
