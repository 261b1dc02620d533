"""`kbnn-run benchmark`: measure the time and the memory that a model takes."""

import argparse
import json
import platform
import sys
import time
from typing import Any

import numpy as np

from kbnn_runtime._version import __version__
from kbnn_runtime.batch import check_batch
from kbnn_runtime.cli.errors import InputError
from kbnn_runtime.cli.options import (
    add_interpreter_options,
    file_name,
    integer_from,
    open_model,
    read_arrays,
)
from kbnn_runtime.profile import Profile
from kbnn_runtime.tensor import Tensor

HELP = "Measure how long a model takes."
_PERCENTILES = (10, 90, 99)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=integer_from(1), default=50, help="timed runs (50)")
    parser.add_argument(
        "--warmup", type=integer_from(0), default=5, help="untimed runs before those (5)"
    )
    parser.add_argument(
        "--batch-size", type=integer_from(1), default=1, help="examples per run (1)"
    )
    parser.add_argument(
        "--input",
        type=file_name,
        help=".npz file with an array for each input by name, instead of random values",
    )
    parser.add_argument("--profile", action="store_true", help="also time each operator")
    add_interpreter_options(parser)


def run(given: argparse.Namespace) -> None:
    interpreter = open_model(given, sidecar=None)
    try:
        batch = _make_batch(given, interpreter.inputs)
    except (MemoryError, ValueError) as error:
        raise InputError(
            f"Out of memory: {given.batch_size} examples are too many, use a smaller --batch-size "
            f"({error})"
        ) from error

    def predict() -> None:
        interpreter.predict(batch, batch_size=given.batch_size)

    try:
        # Not timed even without a warm-up, since it resizes the interpreter.
        predict()
    except ValueError as error:
        raise InputError(error) from error
    for _ in range(given.warmup):
        predict()
    times = []
    for _ in range(given.runs):
        start = time.perf_counter()
        predict()
        times.append(1000 * (time.perf_counter() - start))
    memory = peak_memory()
    profile, failure = None, None
    if given.profile:
        # Must come after the memory is read: a profile keeps all intermediate tensors.
        try:
            profile = interpreter.profile(batch, runs=given.runs)
        except (RuntimeError, ValueError) as error:
            failure = error
    document = _document(given, times, memory, profile)
    if given.json:
        print(json.dumps(document, indent=2))
    else:
        _show(document, profile)
    if failure is not None:
        raise InputError(failure) from failure


def peak_memory() -> int | None:
    """Return the peak memory of the process in bytes, or None if the system does not report it.

    This includes Python, NumPy and LiteRT.
    """
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS reports bytes, Linux units of 1024 bytes.
    return peak if sys.platform == "darwin" else 1024 * peak


def _make_batch(given: argparse.Namespace, inputs: tuple[Tensor, ...]) -> dict[str, np.ndarray]:
    if given.input is not None:
        arrays = _read_inputs(given, inputs)
        return {name: array[: given.batch_size] for name, array in arrays.items()}
    generator = np.random.default_rng(0)
    return {tensor.name: random_input(generator, tensor, given.batch_size) for tensor in inputs}


def _read_inputs(given: argparse.Namespace, inputs: tuple[Tensor, ...]) -> dict[str, np.ndarray]:
    """Read the arrays of `--input`, and check that they fit the model and fill a batch."""
    arrays = read_arrays(given.input)
    try:
        count = len(check_batch(arrays, inputs)[0])
    except ValueError as error:
        raise InputError(error) from error
    if count < given.batch_size:
        raise InputError(
            f"Expected at least {given.batch_size} examples, the --batch-size. "
            f"Received: {count} in {given.input}"
        )
    return arrays


def random_input(generator: np.random.Generator, tensor: Tensor, batch_size: int) -> np.ndarray:
    """Draw values for an input: any 8-bit integers, or standard normal real numbers."""
    if None in tensor.shape[1:]:
        raise InputError(
            f"Expected --input, since the model's input {tensor.name!r} has free sizes. "
            "Received: no --input"
        )
    shape = (batch_size, *(size for size in tensor.shape[1:] if size is not None))
    if tensor.dtype.kind == "b":
        return generator.integers(0, 2, shape, bool)
    if tensor.dtype.kind in "iu" and tensor.dtype.itemsize == 1:
        bounds = np.iinfo(tensor.dtype)
        return generator.integers(bounds.min, bounds.max + 1, shape, tensor.dtype.type)
    if tensor.dtype.kind == "f":
        # NumPy draws float32 and float64 directly.
        drawn = np.float64 if tensor.dtype == np.float64 else np.float32
        return generator.standard_normal(shape, drawn).astype(tensor.dtype, copy=False)
    # Other integers may be class or word numbers, so random ones could be out of range.
    raise InputError(
        f"Expected --input, since the model's input {tensor.name!r} is {tensor.dtype.name}. "
        "Received: no --input"
    )


def _document(
    given: argparse.Namespace, times: list[float], memory: int | None, profile: Profile | None
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "model": given.model,
        "kbnn-runtime": __version__,
        "machine": platform.machine(),
        "threads": given.threads,
        "kernels": given.kernels,
        "batch_size": given.batch_size,
        "runs": given.runs,
        "warmup": given.warmup,
        "median_milliseconds": float(np.median(times)),
        "minimum_milliseconds": min(times),
        "percentile_milliseconds": {
            str(percent): float(np.percentile(times, percent)) for percent in _PERCENTILES
        },
        "peak_memory_bytes": memory,
    }
    if profile is not None:
        document["profile"] = profile.to_dict()
    return document


def _show(document: dict[str, Any], profile: Profile | None) -> None:
    percentiles = ", ".join(
        f"{percent} % {milliseconds:.3f}"
        for percent, milliseconds in document["percentile_milliseconds"].items()
    )
    print(
        f"median {document['median_milliseconds']:.3f} ms of {document['runs']} runs "
        f"(minimum {document['minimum_milliseconds']:.3f}, percentiles: {percentiles}); "
        f"{document['threads']} threads, batches of {document['batch_size']}"
    )
    if document["peak_memory_bytes"] is not None:
        megabytes = document["peak_memory_bytes"] / 1e6
        print(f"peak memory of the process, including Python: {megabytes:.1f} MB")
    if profile is not None:
        print(profile)
        for kind, entry in profile.by_type().items():
            print(f"{kind}: {entry.share:.1%}, {entry.milliseconds:.4f} ms, {entry.name}")
