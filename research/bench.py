"""Trains the arms of a bench and measures them up to the device file.

    python -m research.bench run cifar_vgg_tiny --data-dir runs/cifar10_16.npz --jobs 2
    python -m research.bench run cifar_vgg_tiny ste_sign approx_sign --seeds 0-4
    python -m research.bench summary cifar_vgg_tiny

Each run trains in a process of its own with one thread. The result is converted, and the file runs
on the test images once; arms for tuning are measured on the validation images only. Each finished
run adds a row to results/bench.csv and its log to results/training_logs.csv.gz. An interrupted run
continues where it was; a run that has its row is not repeated.
"""

import concurrent.futures
import itertools
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from research import bench_table, benches, provenance
from research.bench_statistics import BenchResults, Difference
from research.benches import Bench

RUNS = provenance.ROOT / "runs"
_WIDTH = 132  # of the summary, in a pipe too
_ONE_THREAD = {
    name: "1" for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
}

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0], no_args_is_help=True)

BenchName = Annotated[str, typer.Argument(help="A bench of research/benches.")]
DataDir = Annotated[pathlib.Path | None, typer.Option(help="Folder or file of the data.")]
File = Annotated[pathlib.Path, typer.Option(help="The table.")]
Runs = Annotated[pathlib.Path, typer.Option(help="Folder of the runs.")]


@app.command()
def run(
    bench: BenchName,
    arms: Annotated[
        list[str] | None, typer.Argument(help="Arms of the bench; all of them by default.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="A seed or a range, as 0-4; by default those of each arm.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Runs at a time, each with one thread.", min=1)] = 1,
    data_dir: DataDir = None,
    file: File = bench_table.FILE,
    runs: Runs = RUNS,
) -> None:
    """Train arms, seed by seed, and the arms whose networks they need."""
    chosen = _load(bench)
    unknown = sorted(set(arms or []) - set(chosen.arms))
    if unknown:
        raise typer.BadParameter(f"Expected {', '.join(chosen.arms)}. Received: {unknown}")
    done = {row.key for row in bench_table.read(file)}
    failed = []
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        # All arms with one seed before the next seed, so that an unfinished series is of use.
        for stage in _stages(chosen, arms or list(chosen.arms), _seeds(seeds)):
            waiting = [key for key in stage if (bench, *key) not in done]
            options = ["--file", file, "--runs", runs]
            options += [] if data_dir is None else ["--data-dir", data_dir.absolute()]
            outcomes = pool.map(lambda key, o=options: _run_process(bench, *key, o), waiting)
            failed += [key for key, code in zip(waiting, outcomes, strict=True) if code]
    if failed:
        print(f"Failed: {', '.join(f'{arm} seed {seed}' for arm, seed in failed)}", flush=True)
        raise typer.Exit(1)


@app.command()
def one(
    bench: BenchName,
    arm: Annotated[str, typer.Argument(help="An arm of the bench.")],
    seed: Annotated[int, typer.Argument(help="The seed.")],
    data_dir: DataDir = None,
    file: File = bench_table.FILE,
    runs: Runs = RUNS,
) -> None:
    """Train one run in this process."""
    from research.bench_run import train_and_measure

    row = train_and_measure(_load(bench), arm, seed, runs=runs, data_dir=data_dir, file=file)
    print(f"{bench} {arm} seed {seed}: {row.accuracy:.4f}", flush=True)


@app.command()
def summary(bench: BenchName, file: File = bench_table.FILE) -> None:
    """Show mean and spread of each arm, its effect, and the effect at equal time."""
    results = BenchResults(_load(bench), bench_table.read(file))
    title = f"{results.bench.title}. Device file, test images; tuning: Keras, validation images."
    table = Table(title=title, caption=_caption(results), caption_justify="left")
    for heading in ("arm", "runs", "accuracy", "effect (95 %)", "seen from", "time", "equal time"):
        table.add_column(heading, overflow="fold")
    for arm in results.bench.arms:
        if results.rows[arm]:
            table.add_row(*summary_cells(results, arm))
    Console(width=_WIDTH).print(table)


def summary_cells(results: BenchResults, arm: str) -> list[str]:
    """Return the cells of an arm: name, runs, accuracy, effect, power, time, equal time."""
    accuracies = results.accuracies(arm)
    effect, equal = results.effect(arm), results.equal_time(arm)
    kind = " (tuning)" if results.bench.arms[arm].is_tuning else ""
    how = ""
    if effect is not None:
        how = " paired" if results.shares_networks(arm) else ""
        how += "" if results.against(arm) == results.bench.baseline else f" {results.against(arm)}"
    is_compared = equal is not None and equal.difference is not None
    return [
        f"{arm}{kind}",
        str(len(accuracies)),
        f"{100 * sum(accuracies) / len(accuracies):.2f}",
        "" if effect is None else format_difference(effect) + how,
        _percent(None if effect is None else effect.least_seen),
        "" if equal is None else f"{equal.ratio:.2f}",
        format_difference(equal.difference) + (" (beyond)" if equal.is_beyond else "")
        if is_compared and effect is not None
        else "",
    ]


def format_difference(found: Difference) -> str:
    """Return a difference in points, with its interval."""
    text = f"{100 * found.mean:+.2f}"
    if found.low is None or found.high is None:
        return text
    return f"{text} [{100 * found.low:+.2f}, {100 * found.high:+.2f}]"


def _caption(results: BenchResults) -> str:
    return (
        f"Spread over seeds, pooled over arms: {_percent(results.spread.deviation)} points "
        f"({results.spread.degrees} degrees of freedom). Effect: against {results.bench.baseline}, "
        "or the arm that is named. Seen from: the smallest effect found in 80 of 100 cases. Time: "
        "processor time by the baseline's, needed networks included. Equal time: against plain "
        "training that takes as long."
    )


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}"


def _load(name: str) -> Bench:
    try:
        return benches.load(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _seeds(text: str | None) -> range | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    if match is None:
        raise typer.BadParameter(f"Expected --seeds N or M-N. Received: {text}")
    return range(int(match[1]), int(match[2] or match[1]) + 1)


def _stages(bench: Bench, arms: list[str], seeds: range | None) -> Iterator[list[tuple[str, int]]]:
    """Return runs that may run at the same time: for each seed, needed networks first."""
    most = max(bench.arms[arm].seeds for arm in arms)
    for seed in seeds or range(most):
        wanted = [arm for arm in arms if seeds is not None or seed < bench.arms[arm].seeds]
        levels: dict[str, int] = {}
        for arm in wanted:
            _add_levels(bench, arm, levels)
        for level in sorted(set(levels.values())):
            yield [(arm, seed) for arm, own in levels.items() if own == level]


def _add_levels(bench: Bench, arm: str, levels: dict[str, int]) -> int:
    """Note how many trainings in a row an arm needs before its own, for it and what it needs."""
    if arm not in levels:
        needs = [_add_levels(bench, other, levels) for other in bench.arms[arm].needs]
        levels[arm] = max(itertools.chain([-1], needs)) + 1
    return levels[arm]


def _run_process(bench: str, arm: str, seed: int, options: list[object]) -> int:
    command = [sys.executable, "-m", "research.bench", "one", bench, arm, str(seed)]
    done = subprocess.run(
        [*command, *map(str, options)], env={**os.environ, **_ONE_THREAD}, cwd=provenance.ROOT
    )
    return done.returncode


if __name__ == "__main__":
    app()
