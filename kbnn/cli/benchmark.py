"""`kbnn benchmark`: times a device file on this machine."""

import dataclasses
import pathlib
from typing import Annotated

import typer
from rich.table import Table

from kbnn import converters
from kbnn.cli import options
from kbnn.cli.output import exit_codes, only_results_on_stdout, show
from kbnn.converters.interpreters import INTERPRETERS
from kbnn.converters.latency import Latency
from kbnn.runs.errors import input_errors


@exit_codes
def benchmark(
    file: options.TfliteFile,
    interpreter: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{' or '.join(INTERPRETERS)}. You can give it twice. (default: all that are "
            "installed)",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option(min=1, help="Threads of kbnn-runtime. LCE's fast kernel always uses one.")
    ] = 1,
    runs: Annotated[int, typer.Option(min=5, help="Timed runs of each interpreter.")] = 50,
    as_json: options.AsJson = False,
) -> None:
    """Time a device file on this machine, image by image. The interpreters take turns.

    Example: kbnn benchmark first.tflite
    """
    options.check_exists(file)
    with only_results_on_stdout(), input_errors():
        found = converters.latency(
            file, interpreter=interpreter or None, num_threads=threads, runs=runs
        )
    document = {"path": str(file), "latency": [dataclasses.asdict(one) for one in found]}
    show(_table(file, found), document, as_json=as_json)


def _table(file: pathlib.Path, found: list[Latency]) -> Table:
    table = Table(title=f"{file}: milliseconds per image")
    for heading in ("interpreter", "threads", "median", "10 to 90 %"):
        table.add_column(heading)
    for one in found:
        table.add_row(
            *(one.interpreter, str(one.num_threads), f"{one.median:.3f}"),
            f"{one.percentile_10:.3f} to {one.percentile_90:.3f}",
        )
    return table
