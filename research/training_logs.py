"""results/training_logs.csv.gz: what each run of the experiments logged, epoch by epoch.

    python -m research.training_logs fashion-ste_sign-lr0.005 --mode screening --seed 1

The table has a row for each number: experiment, mode, seed, epoch, measure, value. The command
prints the log of one run as `kbnn train` wrote it, with a column for each measure.
"""

import csv
import fcntl
import gzip
import io
import os
import pathlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from kbnn._files import replace_file
from research import provenance

FILE = provenance.ROOT / "results" / "training_logs.csv.gz"

Key = tuple[str, str, int]
"""Experiment, mode and seed of a run."""
Log = list[dict[str, str]]
"""The epochs of a run, in order: the numbers as text, by measure; "epoch" comes first."""

_COLUMNS = ["experiment", "mode", "seed", "epoch", "measure", "value"]

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0])


@app.command()
def main(
    experiment: Annotated[str, typer.Argument(help="A name from research/experiments.")],
    mode: Annotated[str, typer.Option(help="screening or final.")] = "final",
    seed: Annotated[int, typer.Option(help="Seed of the run.")] = 0,
    file: Annotated[pathlib.Path, typer.Option(help="The table.")] = FILE,
) -> None:
    """Print the log of a run as CSV."""
    logs = read(file)
    if (experiment, mode, seed) not in logs:
        runs = [f"{mode} seed {seed}" for name, mode, seed in sorted(logs) if name == experiment]
        raise typer.BadParameter(
            f"Expected a run that {file.name} has. Received: {experiment}, {mode} seed {seed}. "
            f"Runs of this experiment: {', '.join(runs) or 'none'}"
        )
    log = logs[experiment, mode, seed]
    writer = csv.DictWriter(sys.stdout, log[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(log)


def read(file: pathlib.Path = FILE) -> dict[Key, Log]:
    """Return the log of each run in the table; an empty dictionary if there is no file.

    Raises:
        ValueError: the file has other columns.
    """
    logs: dict[Key, Log] = {}
    if not file.exists():
        return logs
    with gzip.open(file, "rt", newline="") as lines:
        rows = csv.reader(lines)
        header = next(rows, None)
        if header != _COLUMNS:
            raise ValueError(f"Expected {file} to have the columns {_COLUMNS}. Received: {header}")
        for experiment, mode, seed, epoch, measure, value in rows:
            log = logs.setdefault((experiment, mode, int(seed)), [])
            if not log or log[-1]["epoch"] != epoch:
                log.append({"epoch": epoch})
            log[-1][measure] = value
    return logs


def merge(log_file: pathlib.Path, key: Key, file: pathlib.Path = FILE) -> None:
    """Add the log of a run, in place of an earlier one of the same run.

    The same logs give the same bytes, in whatever order they come.
    """
    with log_file.open(newline="") as lines:
        log = list(csv.DictReader(lines))
    file.parent.mkdir(parents=True, exist_ok=True)
    with _locked(file.parent):
        write({**read(file), key: log}, file)


def write(logs: dict[Key, Log], file: pathlib.Path) -> None:
    """Write the table, sorted by run, in place of the file."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for key in sorted(logs):
        for epoch in logs[key]:
            for measure, value in epoch.items():
                if measure != "epoch":
                    writer.writerow([*key, epoch["epoch"], measure, value])
    # Without a time stamp, the same content gives the same bytes.
    content = gzip.compress(text.getvalue().encode(), mtime=0)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(file) as temporary:
        temporary.write_bytes(content)


@contextmanager
def _locked(folder: pathlib.Path) -> Iterator[None]:
    """Let one process at a time change a table in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    app()
