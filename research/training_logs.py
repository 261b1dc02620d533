"""results/training_logs.csv.gz: what each run of the benches logged, epoch by epoch.

    python -m research.training_logs cifar_vgg_tiny ste_sign --seed 1

The table has a row for each number: bench, arm, seed, epoch, measure, value. The command prints the
log of one run as `kbnn train` wrote it, with a column for each measure.
"""

import csv
import gzip
import io
import pathlib
import sys
from typing import Annotated

import typer

from kbnn._files import replace_file
from research import provenance, tables
from research.bench_table import Key

FILE = provenance.ROOT / "results" / "training_logs.csv.gz"

Log = list[dict[str, str]]
"""The epochs of a run, in order: the numbers as text, by measure; "epoch" comes first."""

_COLUMNS = ["bench", "arm", "seed", "epoch", "measure", "value"]

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0])


@app.command()
def main(
    bench: Annotated[str, typer.Argument(help="The name of a bench.")],
    arm: Annotated[str, typer.Argument(help="An arm of the bench.")],
    seed: Annotated[int, typer.Option(help="Seed of the run.")] = 0,
    file: Annotated[pathlib.Path, typer.Option(help="The table.")] = FILE,
) -> None:
    """Print the log of a run as CSV."""
    logs = read(file)
    if (bench, arm, seed) not in logs:
        runs = [f"{arm} seed {seed}" for name, arm, seed in sorted(logs) if name == bench]
        raise typer.BadParameter(
            f"Expected a run that {file.name} has. Received: {bench} {arm}, seed {seed}. "
            f"Runs of this bench: {', '.join(runs) or 'none'}"
        )
    log = logs[bench, arm, seed]
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
        for bench, arm, seed, epoch, measure, value in rows:
            log = logs.setdefault((bench, arm, int(seed)), [])
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
    with tables.lock(file.parent):
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


if __name__ == "__main__":
    app()
