"""The process in which LCE's native code runs, because it can abort the process it runs in.

Reads one JSON request a line from standard input and answers each with one JSON line. Large data
travel as files. Run as `python -m kbnn.converters.worker`; `kbnn.converters.lce` is its client.
"""

import functools
import json
import os
import pathlib
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np


def convert(saved_model: str, output: str) -> None:
    from larq_compute_engine.mlir.python.converter import convert_saved_model

    pathlib.Path(output).write_bytes(convert_saved_model(saved_model))


def predict(model: str, inputs: list[str], outputs: str, reference: bool) -> int:
    """Run the file on a batch and write `<outputs>_<i>.npy`, one per output of the model."""
    interpreter = _interpreter(pathlib.Path(model).read_bytes(), reference)
    results = interpreter.predict(_batch(inputs))
    results = results if isinstance(results, list) else [results]
    for i, result in enumerate(results):
        np.save(f"{outputs}_{i}.npy", result, allow_pickle=False)
    return len(results)


def seconds(model: str, inputs: list[str], count: int) -> list[float]:
    """Run the file on an image a few times; the time of each run."""
    interpreter = _interpreter(pathlib.Path(model).read_bytes(), reference=False)
    image = _batch(inputs)
    found = []
    for _ in range(count):
        start = time.perf_counter()
        interpreter.predict(image)
        found.append(time.perf_counter() - start)
    return found


def _batch(inputs: list[str]) -> Any:
    """The arrays of the files, as the interpreter takes them."""
    arrays = [np.load(path, allow_pickle=False) for path in inputs]
    return arrays if len(arrays) > 1 else arrays[0]


@functools.lru_cache(maxsize=1)
def _interpreter(content: bytes, reference: bool) -> Any:
    """The interpreter of the last file, kept from batch to batch."""
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    # The indirect kernel is several times faster here than the default one, and the only one of
    # the two that runs grouped convolutions.
    return Interpreter(content, use_reference_bconv=reference, use_indirect_bgemm=not reference)


def main() -> None:
    # Native code prints to standard output too: answers get a descriptor of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    commands: dict[str, Callable[..., Any]] = {
        "convert": convert,
        "predict": predict,
        "seconds": seconds,
    }
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"result": commands[request.pop("command")](**request)}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
