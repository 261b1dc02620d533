"""Functions that the commands share: options, opening the model, reading `.npz` files."""

import argparse
import contextlib
import os
import pathlib
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator

import numpy as np

from kbnn_runtime.cli.errors import InputError
from kbnn_runtime.delegate import KERNELS
from kbnn_runtime.interpreter import Interpreter


def add_interpreter_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `open_model` reads."""
    parser.add_argument("--threads", type=integer_from(1), default=1, help="threads to use (1)")
    parser.add_argument("--kernels", choices=KERNELS, default="auto", help="kernels to use (auto)")


def open_model(given: argparse.Namespace, *, sidecar: str | None = "auto") -> Interpreter:
    """Open the model that the user named.

    Raises:
        InputError: The model cannot be run.
    """
    try:
        with _quiet_litert():
            return Interpreter(
                given.model, num_threads=given.threads, kernels=given.kernels, sidecar=sidecar
            )
    except (OSError, ValueError) as error:
        raise InputError(error) from error


def integer_from(least: int) -> Callable[[str], int]:
    """Return a type for argparse: integers of at least `least`."""

    def integer(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"Expected an integer from {least}. Received: {text}")
        return value

    return integer


def file_name(text: str) -> str:
    """A type for argparse that refuses an empty name, such as an unset shell variable."""
    if not text:
        raise argparse.ArgumentTypeError("Expected a file name. Received: ''")
    return text


@contextlib.contextmanager
def _quiet_litert() -> Iterator[None]:
    """Keep LiteRT's log messages off standard error, where scripts look for errors."""
    try:
        kept = os.dup(2)
    except OSError:
        # The shell closed standard error, as with `2>&-`.
        yield
        return
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def read_arrays(path: str) -> dict[str, np.ndarray]:
    """Read the arrays of an `.npz` file.

    Raises:
        InputError: The file is not an `.npz` file, or holds objects other than numbers.
    """
    try:
        # Mapped, so that a single array, which is refused below, is not read.
        loaded = np.load(pathlib.Path(path), mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise ValueError("a single array, not an archive")
        with loaded as archive:
            arrays = {name: archive[name] for name in archive.files}
    # RuntimeError: an encrypted member. MemoryError: a header that claims too large a size.
    except (
        EOFError,
        MemoryError,
        OSError,
        RuntimeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise InputError(f"Expected an .npz file of plain arrays. Received: {path}: {error}") from (
            error
        )
    others = sorted(name for name, array in arrays.items() if not isinstance(array, np.ndarray))
    if others:
        raise InputError(f"Expected an .npz file of plain arrays. Received: {path} with {others}")
    return arrays
