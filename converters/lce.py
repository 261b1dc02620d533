"""Calls of Larq Compute Engine's converter and interpreter, which run in a worker process."""

import atexit
import importlib.util
import os
import pathlib
import platform
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from kbnn.converters.errors import ConversionError
from kbnn.converters.lce_padding import without_symmetric_padding
from kbnn.converters.linted_model import LintedModel
from kbnn.converters.saved_model import save_for_conversion
from kbnn.converters.worker import Worker, WorkerError

WORKER = Worker(
    pathlib.Path(__file__).with_name("lce_commands.py"),
    environment={"CUDA_VISIBLE_DEVICES": "-1", "PYTHONWARNINGS": "ignore"},
)
atexit.register(WORKER.close)


def check_installed() -> None:
    """Raise ConversionError if LCE, whose converter `to_flatbuffer` needs, is not installed."""
    if importlib.util.find_spec("larq_compute_engine") is None:
        raise ConversionError(
            "Expected Larq Compute Engine, whose converter writes the file: "
            "pip install larq-compute-engine==0.16.*, which has packages for Python 3.10 to 3.12 "
            "on macOS, and on x86-64 also on Linux and Windows. "
            f"Received: the package is not installed (Python {platform.python_version()}, "
            f"{platform.system()} {platform.machine()})"
        )


def to_flatbuffer(graph: LintedModel) -> bytes:
    """Convert a device graph to the content of an LCE `.tflite` file, with LCE's own converter.

    Inputs and outputs keep the Keras names in the file's signature `serving_default`.

    Raises:
        ConversionError: LCE's converter refused the model or died.
        ValueError: LCE's converter would compile a padding wrongly.
    """
    model = without_symmetric_padding(graph)
    with tempfile.TemporaryDirectory() as folder:
        saved_model = os.path.join(folder, "saved_model")
        output = pathlib.Path(folder, "model.tflite")
        save_for_conversion(model, saved_model)
        call_lce("convert", saved_model=saved_model, output=str(output))
        return output.read_bytes()


def predict(
    path: str | os.PathLike, batches: Iterator[list[np.ndarray]], *, reference: bool = False
) -> Iterator[list[np.ndarray]]:
    """Run a file with LCE's interpreter, batch by batch.

    Args:
        path: a file that LiteRT has verified: see `device_file`.
        batches: for each batch the list of the model's inputs.
        reference: use LCE's slow reference kernel for binary convolutions.

    Yields:
        For each batch the list of the model's outputs.

    Raises:
        ConversionError: LCE's interpreter failed or died.
    """
    path = str(pathlib.Path(path).resolve())
    with tempfile.TemporaryDirectory() as folder:
        for batch in batches:
            inputs = _write_arrays(batch, folder)
            outputs = os.path.join(folder, "output")
            count = call_lce(
                "predict", model=path, inputs=inputs, outputs=outputs, reference=reference
            )
            yield [np.load(f"{outputs}_{i}.npy", allow_pickle=False) for i in range(count)]


def time_runs(path: str | os.PathLike, image: list[np.ndarray], count: int) -> list[float]:
    """Time LCE's interpreter on a file.

    Args:
        path: a file that LiteRT has verified: see `device_file`.
        image: the model's inputs, a batch of one image.
        count: how many runs.

    Returns:
        The seconds of each run.

    Raises:
        ConversionError: LCE's interpreter failed or died.
    """
    path = str(pathlib.Path(path).resolve())
    with tempfile.TemporaryDirectory() as folder:
        inputs = _write_arrays(image, folder)
        return call_lce("time_runs", model=path, inputs=inputs, count=count)


def call_lce(command: str, *, worker: Worker = WORKER, **arguments: Any) -> Any:
    """Run one of `lce_commands` in the worker process.

    Raises:
        ConversionError: the command failed or killed the process, with LCE's own first error.
    """
    try:
        return worker.call(command, **arguments)
    except WorkerError as error:
        what = (
            f"Larq Compute Engine killed its process in `{command}` ({error.reason})."
            if error.died
            else f"Larq Compute Engine failed in `{command}`: {error.reason}"
        )
        first = f" Its first message: {error.first_error}" if error.first_error else ""
        raise ConversionError(what + first) from error


def _write_arrays(batch: list[np.ndarray], folder: str) -> list[str]:
    """Write a batch's arrays to files for the worker."""
    files = [os.path.join(folder, f"input_{i}.npy") for i in range(len(batch))]
    for file, array in zip(files, batch, strict=True):
        np.save(file, array, allow_pickle=False)
    return files
