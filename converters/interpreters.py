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

_PACKAGES = {RUNTIME: "kbnn_runtime", LCE: "larq_compute_engine"}


def installed_interpreters() -> tuple[str, ...]:
    """The interpreters that are installed and work here, kbnn-runtime first."""
    return tuple(name for name in INTERPRETERS if _obstacle(name) is None)


def resolve_interpreter(name: str | None) -> str:
    """Check an interpreter's name. None means kbnn-runtime if it is installed, else LCE's.

    Raises:
        ValueError: the name is unknown, or the interpreter is not installed, or LCE's interpreter
            cannot work with the installed NumPy.
    """
    if name is not None:
        _checks.one_of("interpreter", name, INTERPRETERS)
    for candidate in INTERPRETERS if name is None else (name,):
        obstacle = _obstacle(candidate)
        if obstacle is None:
            return candidate
    raise ValueError(
        "Expected an interpreter that can run the file: pip install kbnn-runtime. "
        f"Received: interpreter={name!r}; {obstacle}"
    )


def _obstacle(name: str) -> str | None:
    """Why an interpreter cannot be used here; None if it can."""
    package = _PACKAGES[name]
    if importlib.util.find_spec(package) is None:
        return f"the package {package.replace('_', '-')} is not installed"
    if name == LCE and int(np.__version__.partition(".")[0]) >= 2:
        return f"LCE's interpreter fails with NumPy 2, and NumPy {np.__version__} is installed"
    return None


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
