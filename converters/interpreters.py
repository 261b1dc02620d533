"""The interpreters that run a device file here: kbnn-runtime's, and LCE's own."""

import importlib.util
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from kbnn.converters import lce

RUNTIME = "kbnn-runtime"
LCE = "lce"
INTERPRETERS = (RUNTIME, LCE)
"""kbnn-runtime (LiteRT with kbnn's kernels, what a Raspberry Pi runs), LCE's own."""


def available() -> tuple[str, ...]:
    """The interpreters that are installed, kbnn-runtime first."""
    found = importlib.util.find_spec("kbnn_runtime") is not None
    return INTERPRETERS if found else (LCE,)


def resolve_interpreter(name: str | None) -> str:
    """The interpreter of a name; for None kbnn-runtime's where it is installed, else LCE's.

    Raises:
        ValueError: an unknown name, or kbnn-runtime is not installed.
    """
    if name is None:
        return available()[0]
    if name not in INTERPRETERS:
        raise ValueError(
            f"Expected `interpreter` to be one of {', '.join(INTERPRETERS)}, or None. "
            f"Received: interpreter={name!r}"
        )
    if name not in available():
        raise ValueError(
            "Expected an interpreter that is installed: pip install kbnn-runtime. "
            f"Received: interpreter={name!r}"
        )
    return name


def predict(
    path: str | os.PathLike, batches: Iterator[list[np.ndarray]], interpreter: str
) -> Iterator[list[np.ndarray]]:
    """Run a checked file, batch by batch.

    Args:
        path: a file that `lce.check_file` has accepted.
        batches: for each batch the list of the file's inputs, in its order.
        interpreter: as `chosen` gives it.

    Yields:
        For each batch the list of the file's outputs.

    Raises:
        ConversionError: the interpreter failed.
    """
    if interpreter == LCE:
        yield from lce.predict(path, batches)
        return
    runtime = runtime_interpreter(path)
    for batch in batches:
        try:
            outputs = runtime.predict(named(runtime, batch))
        except RuntimeError as error:
            raise lce.ConversionError(f"kbnn-runtime failed: {error}") from error
        yield list(outputs.values()) if isinstance(outputs, dict) else [outputs]


def runtime_interpreter(path: str | os.PathLike, num_threads: int = 1) -> Any:
    """A `kbnn_runtime.Interpreter` of a file.

    Raises:
        ConversionError: it refuses the file.
    """
    from kbnn_runtime import Interpreter

    try:
        return Interpreter(path, num_threads=num_threads, sidecar=None)
    except ValueError as error:
        raise lce.ConversionError(f"kbnn-runtime cannot run the file: {error}") from error


def named(runtime: Any, batch: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs of a file by the names that a `kbnn_runtime.Interpreter` has for them."""
    return {tensor.name: array for tensor, array in zip(runtime.inputs, batch, strict=True)}
