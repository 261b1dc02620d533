"""What the worker process does with Larq Compute Engine, whose native code can abort a process.

`kbnn.converters.lce` calls these commands. Large data travel as files.
"""

import functools
import pathlib
import time
from typing import Any

import numpy as np


def convert(saved_model: str, output: str) -> None:
    """Convert a SavedModel and write the `.tflite` file."""
    from larq_compute_engine.mlir.python.converter import convert_saved_model

    pathlib.Path(output).write_bytes(convert_saved_model(saved_model))


def predict(model: str, inputs: list[str], outputs: str, reference: bool) -> int:
    """Run a file on a batch, write output `i` to `<outputs>_<i>.npy`, and return how many."""
    interpreter = _interpreter(pathlib.Path(model).read_bytes(), reference)
    results = interpreter.predict(_batch(inputs))
    results = results if isinstance(results, list) else [results]
    for i, result in enumerate(results):
        np.save(f"{outputs}_{i}.npy", result, allow_pickle=False)
    return len(results)


def time_runs(model: str, inputs: list[str], count: int) -> list[float]:
    """Run a file `count` times on an image and return the seconds of each run."""
    interpreter = _interpreter(pathlib.Path(model).read_bytes(), reference=False)
    image = _batch(inputs)
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        interpreter.predict(image)
        seconds.append(time.perf_counter() - start)
    return seconds


def _batch(inputs: list[str]) -> Any:
    """Load the inputs as the interpreter takes them."""
    arrays = [np.load(path, allow_pickle=False) for path in inputs]
    return arrays if len(arrays) > 1 else arrays[0]


@functools.lru_cache(maxsize=1)
def _interpreter(content: bytes, reference: bool) -> Any:
    """The interpreter of a file; the last one is kept from batch to batch."""
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    # The indirect kernel is several times faster than the default one, which also refuses grouped
    # convolutions.
    return Interpreter(content, use_reference_bconv=reference, use_indirect_bgemm=not reference)


COMMANDS = {"convert": convert, "predict": predict, "time_runs": time_runs}
