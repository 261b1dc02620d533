"""Times networks on several threads and on one thread, in the same rounds.

    python -m runtime.benchmarks.thread_speedup --file results/runtime_threads.csv
    python -m runtime.benchmarks.thread_speedup resnet18 --threads 2 --threads 4    # shows it

Each number of threads runs in a separate process, and the processes take turns. A turn lasts a
tenth of a second, so that waking the threads does not matter. The speed-up is the time on one
thread divided by the time on several threads in the same round.
"""

import dataclasses
import os
import pathlib
import statistics
from contextlib import ExitStack
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

import kbnn_runtime
from research import step_timing, tables
from runtime.benchmarks import device_files, engines, measurements, networks
from runtime.benchmarks.engines import BASELINE, ENGINES, EngineWorker, Times

_ENGINES = (BASELINE, "kbnn-runtime-unfused", "float", "int8")
_NETWORKS = ("resnet18", "quicknet", "vgg_small", "resnet20")
_TURN_SECONDS = 0.1

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0])


@dataclasses.dataclass(frozen=True)
class Row:
    """The time of a network on some threads.

    Attributes:
        model, engine, kernels, rounds, runs, load: as in `measurements.Row`.
        threads: given to the interpreter and the delegate.
        milliseconds: time of an inference, median of the rounds.
        speedup: time on one thread divided by this time, in the same round; median.
        speedup_lower_quartile: a quarter of the rounds have a smaller speed-up.
        speedup_upper_quartile: a quarter of the rounds have a larger speed-up.
        versions, machine, instruction_set, commit, date: as in `measurements.Row`.
    """

    model: str
    engine: str
    kernels: str
    threads: int
    milliseconds: float
    speedup: float
    speedup_lower_quartile: float
    speedup_upper_quartile: float
    rounds: int
    runs: int
    load: float
    versions: str
    machine: str
    instruction_set: str
    commit: str
    date: str


@app.command()
def main(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Names from networks.py; by default the four networks."),
    ] = None,
    threads: Annotated[
        list[int] | None, typer.Option(min=2, help="Number of threads; by default 2.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=2, help="Number of rounds.")] = 30,
    file: Annotated[
        pathlib.Path | None, typer.Option(help="The table in which the rows are written.")
    ] = None,
) -> None:
    """Measure, show the table, and write it."""
    unknown = sorted(set(names or []) - set(networks.MODELS))
    if unknown:
        raise typer.BadParameter(f"Expected {', '.join(networks.MODELS)}. Received: {unknown}")
    load = os.getloadavg()[0]
    columns = measurements.provenance_columns()
    rows: list[Row] = []
    with ExitStack() as stack:
        workers = {
            count: stack.enter_context(EngineWorker())
            for count in dict.fromkeys([1, *(threads or [2])])
        }
        for name in names or _NETWORKS:
            files = device_files.files(name)
            for engine in _ENGINES:
                turns = {
                    str(count): worker.turn(engine, files[ENGINES[engine]], count)
                    for count, worker in workers.items()
                }
                times = engines.take_turns(turns, rounds, seconds=_TURN_SECONDS)
                rows += [_row(name, engine, count, times, load, columns) for count in workers]
    if file is not None:
        tables.update(rows, file, by=measurements.SAME_NETWORK)
    Console(width=100).print(_render(rows))


def _row(
    name: str,
    engine: str,
    threads: int,
    times: dict[str, Times],
    load: float,
    columns: dict[str, str],
) -> Row:
    own, one = times[str(threads)], times["1"]
    speedup = step_timing.ratio(one.seconds, own.seconds)
    return Row(
        model=name,
        engine=engine,
        kernels=kbnn_runtime.available_kernels()[-1] if engine.startswith(BASELINE) else "",
        threads=threads,
        milliseconds=round(1000 * statistics.median(own.seconds), 4),
        speedup=round(speedup.median, 4),
        speedup_lower_quartile=round(speedup.lower_quartile, 4),
        speedup_upper_quartile=round(speedup.upper_quartile, 4),
        rounds=len(own.seconds),
        runs=own.runs,
        load=round(load, 2),
        **columns,
    )


def _render(rows: list[Row]) -> Table:
    shown = Table(title="Threads: time, and speed-up over one thread: median, quartiles")
    for heading in ("model", "engine", "threads", "ms", "speed-up"):
        shown.add_column(heading)
    for row in rows:
        shown.add_row(
            *(row.model, row.engine, str(row.threads), f"{row.milliseconds:.3f}"),
            f"{row.speedup:.2f} [{row.speedup_lower_quartile:.2f}, "
            f"{row.speedup_upper_quartile:.2f}]",
        )
    return shown


if __name__ == "__main__":
    app()
