"""Times kbnn-runtime, LCE's interpreter, and LiteRT with float and int8 twins.

    python -m runtime.benchmarks.speed convert               # once: the files, into runs/runtime/
    python -m runtime.benchmarks.speed run                   # writes the three tables below
    python -m runtime.benchmarks.speed run resnet18 --rounds 5 --threads 1 --kernels avx2

results/runtime.csv has a row for each network, interpreter and number of threads. The interpreters
take turns, and each turn is divided by kbnn-runtime's turn in the same round. A time includes
setting the input, the inference, and reading the output.

results/runtime_operators.csv shows where the time goes, by groups of operators, and how close the
binary operators come to the peak of the machine. bit_peak.cc measures that peak: it runs the
instructions with which a kernel set counts (exclusive or, count of bits, addition) on registers
only, and a chain of additions of one cycle each, which gives the clock.

results/runtime_memory.csv has resident memory and allocations of ResNet-18, in fresh processes.

If networks are named, their tables are only shown, unless --out names a folder. New rows replace
the rows of the same networks and the same instruction set.
"""

import os
import pathlib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

import kbnn_runtime
from research import provenance, tables
from runtime.benchmarks import device_files, engines, measurements, networks
from runtime.benchmarks.engines import BASELINE, ENGINES, EngineWorker
from runtime.benchmarks.measurements import SAME_NETWORK, MemoryRow, OperatorRow, Row

RESULTS = provenance.ROOT / "results"
_MEMORY_MODEL = "resnet18"
_MEMORY_ENGINES = (BASELINE, "lce-indirect", "float", "int8")
_PROFILE_RUNS = 20
_WIDTH = 125  # of the tables, in a pipe too

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0], no_args_is_help=True)
_progress = Console(stderr=True, width=_WIDTH)

Names = Annotated[list[str] | None, typer.Argument(help="Names from networks.py; by default all.")]


@app.command()
def convert(names: Names = None) -> None:
    """Convert networks and their twins, unless they have been converted before."""
    for name in _check_names(names):
        for kind, path in device_files.files(name).items():
            print(f"{name} {kind}: {path.stat().st_size:,} bytes, {path}")


@app.command()
def run(
    names: Names = None,
    rounds: Annotated[int, typer.Option(min=2, help="Number of rounds.")] = 20,
    threads: Annotated[
        list[int] | None, typer.Option(min=1, help="Number of threads; by default 1 and 2.")
    ] = None,
    kernels: Annotated[
        list[str] | None, typer.Option(help="Kernel sets to time besides the default one.")
    ] = None,
    out: Annotated[
        pathlib.Path | None,
        typer.Option(help="Folder of the tables; by default results/ unless networks are named."),
    ] = None,
) -> None:
    """Measure, show the tables, and write them."""
    chosen = _check_names(names)
    asked = _check_kernels(kernels or [])
    load = os.getloadavg()[0]
    columns = measurements.provenance_columns()
    times: list[Row] = []
    operators: list[OperatorRow] = []
    files = {name: device_files.files(name) for name in _announce(chosen, "convert")}
    peak = engines.peak(device_files.CACHE)
    automatic = kbnn_runtime.available_kernels()[-1]
    kinds = ENGINES | {f"{BASELINE}-{kernel}": "binary" for kernel in asked}
    with ExitStack() as stack:
        workers = {
            package: stack.enter_context(EngineWorker())
            for package in sorted({engines.package(engine) for engine in kinds})
        }
        for name in _announce(chosen, "time"):
            content = {kind: path.read_bytes() for kind, path in files[name].items()}
            about = {
                engine: (device_files.macs(content[kind]), len(content[kind]))
                for engine, kind in kinds.items()
            }
            for count in threads or (1, 2):
                turns = {
                    engine: workers[engines.package(engine)].turn(engine, files[name][kind], count)
                    for engine, kind in kinds.items()
                }
                times += measurements.timing_rows(
                    name,
                    count,
                    engines.take_turns(turns, rounds),
                    about,
                    kernels=automatic,
                    load=load,
                    provenance_columns=columns,
                )
            profile = workers[BASELINE].call(
                "profile", file=str(files[name]["binary"]), runs=_PROFILE_RUNS
            )
            operators += measurements.operator_rows(
                name,
                content["binary"],
                profile,
                peak,
                kernels=automatic,
                provenance_columns=columns,
            )
    memory = []
    if _MEMORY_MODEL in chosen:
        memory = _memory(files[_MEMORY_MODEL], list(threads or (1, 2)), columns)
    folder = out or (None if names else RESULTS)
    if folder:
        tables.update(times, folder / "runtime.csv", by=SAME_NETWORK)
        tables.update(operators, folder / "runtime_operators.csv", by=SAME_NETWORK)
        if memory:
            tables.update(memory, folder / "runtime_memory.csv", by=SAME_NETWORK)
    for table in (_render_times(times), _render_operators(operators), _render_memory(memory)):
        if table.row_count:
            Console(width=_WIDTH).print(table)


def _check_names(names: list[str] | None) -> list[str]:
    unknown = sorted(set(names or []) - set(networks.MODELS))
    if unknown:
        raise typer.BadParameter(f"Expected {', '.join(networks.MODELS)}. Received: {unknown}")
    return list(dict.fromkeys(names or networks.MODELS))


def _check_kernels(kernels: list[str]) -> list[str]:
    available = kbnn_runtime.available_kernels()
    unknown = sorted(set(kernels) - set(available))
    if unknown:
        raise typer.BadParameter(
            f"Expected kernels that this processor runs: {', '.join(available)}. "
            f"Received: {unknown}"
        )
    return list(dict.fromkeys(kernels))


def _announce(names: list[str], work: str) -> Iterator[str]:
    """Yield the names, and print each one on standard error when its work begins."""
    for index, name in enumerate(names, 1):
        _progress.print(f"{work} {index}/{len(names)}: {name}")
        yield name


def _memory(
    files: dict[str, pathlib.Path], threads: list[int], columns: dict[str, str]
) -> list[MemoryRow]:
    table = []
    for engine in _announce(list(_MEMORY_ENGINES), f"memory of {_MEMORY_MODEL}"):
        file = files[ENGINES[engine]]
        for count in threads:
            found = engines.memory(engine, file, count, device_files.CACHE)
            table.append(
                MemoryRow(
                    model=_MEMORY_MODEL,
                    engine=engine,
                    threads=count,
                    file_bytes=file.stat().st_size,
                    filter_bytes=device_files.binary_filter_bytes(file.read_bytes()),
                    **found,
                    **columns,
                )
            )
    return table


def _render_times(table: list[Row]) -> Table:
    shown = Table(title="Inference of one image; divided by kbnn-runtime's: median, quartiles")
    for heading in ("model", "engine", "threads", "ms", "ratio"):
        shown.add_column(heading)
    for row in table:
        shown.add_row(
            *(row.model, row.engine, str(row.threads), f"{row.milliseconds:.3f}"),
            f"{row.ratio:.2f} [{row.ratio_lower_quartile:.2f}, {row.ratio_upper_quartile:.2f}]",
        )
    return shown


def _render_operators(table: list[OperatorRow]) -> Table:
    shown = Table(title="Operators of kbnn-runtime, each timed separately, 1 thread")
    for heading in ("model", "group", "operators", "ms", "share", "GMAC/s", "of the peak"):
        shown.add_column(heading)
    for row in table:
        shown.add_row(
            *(row.model, row.group, str(row.operators), f"{row.milliseconds:.3f}"),
            *(f"{row.share:.0%}", f"{row.gmacs_per_second:.1f}" if row.macs else ""),
            "" if row.peak_share is None else f"{row.peak_share:.0%}",
        )
    return shown


def _render_memory(table: list[MemoryRow]) -> Table:
    shown = Table(title="Memory beyond the imported package; allocations of malloc")
    for heading in (
        *("engine", "threads", "file MB", "loaded MB", "invoked MB"),
        *("a run", "delegate", "filters MB", "delegate MB"),
    ):
        shown.add_column(heading)
    for row in table:
        sizes = (row.file_bytes, row.load_bytes, row.invoke_bytes)
        held = (row.filter_bytes, row.delegate_bytes)
        shown.add_row(
            *(row.engine, str(row.threads), *(f"{size / 1e6:.2f}" for size in sizes)),
            *(str(row.allocations), str(row.delegate_allocations)),
            *(f"{size / 1e6:.2f}" for size in held),
        )
    return shown


if __name__ == "__main__":
    app()
