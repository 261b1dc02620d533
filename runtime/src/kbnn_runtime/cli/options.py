"""What the commands share: options, opening the model, reading archives of arrays."""

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
    """The options of `open_model`."""
    parser.add_argument("--threads", type=integer_from(1), default=1, help="to compute with (1)")
    parser.add_argument("--kernels", choices=KERNELS, default="auto", help="(auto)")


def open_model(given: argparse.Namespace, *, sidecar: str | None = "auto") -> Interpreter:
    """The interpreter for the model that the user named.

    Raises:
        InputError: It is no model that can be run.
    """
    try:
        with _quiet_litert():
            return Interpreter(
                given.model, num_threads=given.threads, kernels=given.kernels, sidecar=sidecar
            )
    except (OSError, ValueError) as error:
        raise InputError(error) from error


def integer_from(least: int) -> Callable[[str], int]:
    """A type for argparse: integers from `least`."""

    def integer(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"Expected an integer from {least}. Received: {text}")
        return value

    return integer


def file_name(text: str) -> str:
    """A type for argparse: not the empty text of a shell's variable that is not set."""
    if not text:
        raise argparse.ArgumentTypeError("Expected the name of a file. Received: ''")
    return text


@contextlib.contextmanager
def _quiet_litert() -> Iterator[None]:
    """Keep LiteRT's notes off standard error, where scripts look for errors; those it raises."""
    try:
        kept = os.dup(2)
    except OSError:
        # Closed by the shell, as with `2>&-`.
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
    """The arrays of an `.npz` file.

    Raises:
        InputError: It is none, or holds objects other than numbers.
    """
    try:
        # Mapped: a single array, which is no archive, is not read.
        loaded = np.load(pathlib.Path(path), mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise ValueError("a single array, not an archive")
        with loaded as archive:
            arrays = {name: archive[name] for name in archive.files}
    # RuntimeError: an encrypted member. MemoryError: a header may claim any size.
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
