"""Tables of measurements: CSV files with a line for each row, a dataclass."""

import csv
import dataclasses
import fcntl
import os
import pathlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kbnn._files import replace_file


def write(rows: Sequence[Any], file: pathlib.Path) -> None:
    """Write rows of one dataclass in place of the file."""
    records = [dataclasses.asdict(row) for row in rows]
    _replace(records, file)


def append(row: Any, file: pathlib.Path) -> None:
    """Add a row at the end of a table, which begins with the names of its columns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    _write([dataclasses.asdict(row)], file, header=not file.exists())


def update(rows: Sequence[Any], file: pathlib.Path, *, by: Sequence[str]) -> None:
    """Write rows of one dataclass in place of the file's rows with the same values in `by`.

    The file's other rows stay as they are. The table is sorted by the first column of `by`.

    Raises:
        ValueError: the file has other columns.
    """
    new = [{name: _text(value) for name, value in dataclasses.asdict(row).items()} for row in rows]
    keys = {tuple(record[name] for name in by) for record in new}
    kept = []
    if file.exists():
        with file.open(newline="") as lines:
            reader = csv.DictReader(lines)
            if reader.fieldnames != list(new[0]):
                raise ValueError(
                    f"Expected {file} to have the columns {list(new[0])}. "
                    f"Received: {reader.fieldnames}"
                )
            kept = [record for record in reader if tuple(record[name] for name in by) not in keys]
    records = sorted([*kept, *new], key=lambda record: record[by[0]])
    _replace(records, file)


@contextmanager
def lock(folder: pathlib.Path) -> Iterator[None]:
    """Let one process at a time change the tables in a folder, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _replace(records: Sequence[dict[str, Any]], file: pathlib.Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(file) as temporary:
        _write(records, temporary, header=True)


def _write(records: Sequence[dict[str, Any]], file: pathlib.Path, *, header: bool) -> None:
    with file.open("a", newline="") as lines:
        writer = csv.DictWriter(lines, list(records[0]), lineterminator="\n")
        if header:
            writer.writeheader()
        writer.writerows(records)
