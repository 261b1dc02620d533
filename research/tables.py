"""Tables of measurements: CSV files with a line for each row, a dataclass."""

import csv
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from kbnn.cli.run_folder import replace_file


def write(rows: Sequence[Any], file: pathlib.Path) -> None:
    """Write rows, all of one class, in place of the file."""
    replace_file(file, lambda temporary: _write(rows, temporary, header=True))


def append(row: Any, file: pathlib.Path) -> None:
    """Add a row to a table, which begins with the names of its columns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    _write([row], file, header=not file.exists())


def _write(rows: Sequence[Any], file: pathlib.Path, *, header: bool) -> None:
    with file.open("a", newline="") as lines:
        fields = [field.name for field in dataclasses.fields(rows[0])]
        writer = csv.DictWriter(lines, fields, lineterminator="\n")
        if header:
            writer.writeheader()
        writer.writerows(map(dataclasses.asdict, rows))
