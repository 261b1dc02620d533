"""Trains the arms of a bench, and measures the results down to the device file.

    python -m research.bench run cifar_vgg_tiny --data-dir runs/cifar10_16.npz --jobs 2
    python -m research.bench run cifar_vgg_tiny ste_sign approx_sign --seeds 0-4
    python -m research.bench summary cifar_vgg_tiny

Each run trains in its own process with one thread. `run` converts the result and runs the file on
the test images once. It measures arms for tuning only on the validation images. Each finished run
adds a row to results/bench.csv and its log to results/training_logs.csv.gz. An interrupted run
continues where it stopped, and a run that has a row is not repeated.
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
from research.bench_results import BenchResults, check_settings
from research.bench_summary import describe_spread, summarize
from research.bench_table import Row
from research.benches import Bench

RUNS = provenance.ROOT / "runs"
_WIDTH = 150  # of the summary, in a pipe too
_ONE_THREAD = {
    name: "1" for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
}

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0], no_args_is_help=True)

BenchName = Annotated[str, typer.Argument(help="A bench of research/benches, or a .toml file.")]
DataDir = Annotated[pathlib.Path | None, typer.Option(help="Folder or file of the data.")]
File = Annotated[pathlib.Path, typer.Option(help="The table.")]
Runs = Annotated[pathlib.Path, typer.Option(help="Folder of the runs.")]


@app.command()
def run(
    bench: BenchName,
    arms: Annotated[
        list[str] | None, typer.Argument(help="Arms of the bench. (default: all)")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="A seed, or a range such as 0-4. (default: each arm's seeds)")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Runs at a time, each with one thread.", min=1)] = 1,
    data_dir: DataDir = None,
    file: File = bench_table.FILE,
    runs: Runs = RUNS,
) -> None:
    """Train arms seed by seed, and before them the arms whose networks they need."""
    chosen = load(bench)
    for arm in arms or chosen.arms:
        check_arm(chosen, arm)
    stages = list(_stages(chosen, arms or list(chosen.arms), _seeds(seeds)))
    done = {row.key for row in read_rows(chosen, file)}
    options: list[object] = ["--file", file.absolute(), "--runs", runs.absolute()]
    options += [] if data_dir is None else ["--data-dir", data_dir.absolute()]
    futures: dict[tuple[str, int], concurrent.futures.Future[int]] = {}
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for arm, seed in itertools.chain.from_iterable(stages):
            if (chosen.name, arm, seed) not in done:
                needed = [futures.get((other, seed)) for other in chosen.arms[arm].needs]
                call = (_run_after, list(filter(None, needed)), bench, (arm, seed), options)
                futures[arm, seed] = pool.submit(*call)
    failed = [key for key, future in futures.items() if future.result()]
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
    """Train and measure one run in this process."""
    from research.bench_run import train_and_measure

    chosen = load(bench)
    check_arm(chosen, arm)
    try:
        config = chosen.config(arm, seed, runs, data_dir)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    row = train_and_measure(chosen, arm, config, runs=runs, file=file)
    print(f"{chosen.name} {arm} seed {seed}: {row.accuracy:.4f}", flush=True)


@app.command()
def summary(bench: BenchName, file: File = bench_table.FILE) -> None:
    """Show the mean and spread of each arm, its effect and power, and its effect at equal time."""
    chosen = load(bench)
    results = BenchResults(chosen, read_rows(chosen, file))
    title = f"{chosen.title}. Device file on test images; for tuning, Keras on validation images."
    table = Table(title=title, caption=_caption(results), caption_justify="left")
    for heading in ("arm", "runs", "accuracy", "effect (95 %)", "seen from", "time", "equal time"):
        table.add_column(heading, overflow="fold")
    for arm in results.arms:
        cells = summarize(results, arm)
        kind = " (tuning)" if chosen.arms[arm].is_tuning else ""
        table.add_row(
            *(f"{arm}{kind}", cells.runs, cells.accuracy, cells.effect, cells.least_seen),
            *(cells.time, cells.equal_time),
        )
    Console(width=_WIDTH).print(table)


def load(name: str) -> Bench:
    """Read a bench; raise typer.BadParameter if it does not exist or its file is not a bench."""
    try:
        return benches.load(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def check_arm(bench: Bench, arm: str) -> None:
    """Raise typer.BadParameter if the bench lacks an arm, or the arm's settings are not valid."""
    if arm not in bench.arms:
        raise typer.BadParameter(
            f"Expected an arm of {bench.name}: {', '.join(bench.arms)}. Received: {arm}"
        )
    try:
        bench.check(arm)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def read_rows(bench: Bench, file: pathlib.Path) -> list[Row]:
    """Read the table; raise typer.BadParameter if the settings of a measured arm have changed."""
    rows = bench_table.read(file)
    try:
        check_settings(bench, rows)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return rows


def _caption(results: BenchResults) -> str:
    return (
        f"{describe_spread(results)} Effect: compared with {results.bench.baseline}, or with the "
        "arm that the table names. Each interval is for one comparison: of twenty arms without an "
        "effect, you can expect one to have an interval that excludes 0. Seen from: the smallest "
        "effect that is found in 80 of 100 cases. Time: processor time divided by the baseline's, "
        "including the networks that the arm needs. Equal time: compared with plain training that "
        "takes as long; beyond: the arm takes longer than any plain training."
    )


def _seeds(text: str | None) -> range | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    found = range(int(match[1]), int(match[2] or match[1]) + 1) if match else None
    if not found:
        raise typer.BadParameter(f"Expected --seeds N or M-N. Received: {text}")
    return found


def _stages(bench: Bench, arms: list[str], seeds: range | None) -> Iterator[list[tuple[str, int]]]:
    """Yield groups of independent runs in order: for each seed, the needed networks come first.

    All arms are trained with one seed before the next, so that an unfinished series is useful.
    """
    most = max(bench.arms[arm].seeds for arm in arms)
    for seed in seeds or range(most):
        wanted = [arm for arm in arms if seeds is not None or seed < bench.arms[arm].seeds]
        levels: dict[str, int] = {}
        for arm in wanted:
            _add_levels(bench, arm, levels)
        for level in sorted(set(levels.values())):
            yield [(arm, seed) for arm, own in levels.items() if own == level]


def _add_levels(bench: Bench, arm: str, levels: dict[str, int]) -> int:
    """Note how many trainings must precede an arm's own, also for the arms that it needs."""
    if arm not in levels:
        needs = [_add_levels(bench, other, levels) for other in bench.arms[arm].needs]
        levels[arm] = max(itertools.chain([-1], needs)) + 1
    return levels[arm]


def _run_after(
    needed: list["concurrent.futures.Future[int]"],
    bench: str,
    key: tuple[str, int],
    options: list[object],
) -> int:
    concurrent.futures.wait(needed)
    return _run_process(bench, key, options)


def _run_process(bench: str, key: tuple[str, int], options: list[object]) -> int:
    name = str(pathlib.Path(bench).absolute()) if bench.endswith(".toml") else bench
    command = [sys.executable, "-m", "research.bench", "one", name, key[0], str(key[1])]
    done = subprocess.run(
        [*command, *map(str, options)], env={**os.environ, **_ONE_THREAD}, cwd=provenance.ROOT
    )
    return done.returncode


if __name__ == "__main__":
    app()
