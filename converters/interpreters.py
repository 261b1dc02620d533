"""The interpreters that can run a device file on this machine."""

import importlib.util
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from kbnn import _checks
from kbnn.converters import lce
from kbnn.converters.errors import ConversionError

RUNTIME = "kbnn-runtime"
LCE = "lce"
INTERPRETERS = (RUNTIME, LCE)
"""kbnn-runtime, which also runs on a Raspberry Pi, and LCE's own interpreter."""


def installed_interpreters() -> tuple[str, ...]:
    """The interpreters that are installed, kbnn-runtime first."""
    found = importlib.util.find_spec("kbnn_runtime") is not None
    return INTERPRETERS if found else (LCE,)


def resolve_interpreter(name: str | None) -> str:
    """Check an interpreter's name. None means kbnn-runtime if it is installed, else LCE's.

    Raises:
        ValueError: the name is unknown, or kbnn-runtime is not installed.
    """
    if name is None:
        return installed_interpreters()[0]
    _checks.one_of("interpreter", name, INTERPRETERS)
    if name not in installed_interpreters():
        raise ValueError(
            "Expected an interpreter that is installed: pip install kbnn-runtime. "
            f"Received: interpreter={name!r}"
        )
    return name


def predict(
    path: str | os.PathLike, batches: Iterator[list[np.ndarray]], interpreter: str
) -> Iterator[list[np.ndarray]]:
    """Run a file, batch by batch.

    Args:
        path: a file that LiteRT has verified: see `device_file`.
        batches: for each batch the list of the file's inputs, in its order.
        interpreter: what `resolve_interpreter` returned.

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
            outputs = runtime.predict(inputs_by_name(runtime, batch))
        except RuntimeError as error:
            raise ConversionError(f"kbnn-runtime failed: {error}") from error
        yield list(outputs.values()) if isinstance(outputs, dict) else [outputs]


def runtime_interpreter(path: str | os.PathLike, num_threads: int = 1) -> Any:
    """Open a file with `kbnn_runtime.Interpreter`.

    Raises:
        ConversionError: kbnn-runtime refuses the file.
    """
    from kbnn_runtime import Interpreter

    try:
        return Interpreter(path, num_threads=num_threads, sidecar=None)
    except ValueError as error:
        raise ConversionError(f"kbnn-runtime cannot run the file: {error}") from error


def inputs_by_name(runtime: Any, batch: list[np.ndarray]) -> dict[str, np.ndarray]:
    """A batch as a `kbnn_runtime.Interpreter` takes it: arrays by the names of the inputs."""
    return {tensor.name: array for tensor, array in zip(runtime.inputs, batch, strict=True)}
