"""`kbnn-run benchmark`: how long a model takes, and how much memory."""

import argparse
import json
import platform
import sys
import time
from typing import Any

import numpy as np

from kbnn_runtime._version import __version__
from kbnn_runtime.batch import checked_batch
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
    parser.add_argument("--warmup", type=integer_from(0), default=5, help="runs before them (5)")
    parser.add_argument("--batch-size", type=integer_from(1), default=1, help="examples a run (1)")
    parser.add_argument(
        "--input",
        type=file_name,
        help=".npz with an array for each input by name, instead of random values",
    )
    parser.add_argument("--profile", action="store_true", help="also time each operator")
    add_interpreter_options(parser)


def run(given: argparse.Namespace) -> None:
    interpreter = open_model(given, sidecar=None)
    try:
        batch = _batch(given, interpreter.inputs)
    except (MemoryError, ValueError) as error:
        raise InputError(
            f"Expected a batch size that fits into memory. Received: {given.batch_size}: {error}"
        ) from error

    def predict() -> None:
        interpreter.predict(batch, batch_size=given.batch_size)

    try:
        # The first run resizes the interpreter, even without a warm-up.
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
        # After the memory was read: a profile holds all values between the operators.
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
    """The most memory that the process has held so far, in bytes; None where nobody tells.

    Python, NumPy and LiteRT are in it.
    """
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS gives bytes, Linux units of 1024.
    return peak if sys.platform == "darwin" else 1024 * peak


def _batch(given: argparse.Namespace, inputs: tuple[Tensor, ...]) -> dict[str, np.ndarray]:
    if given.input is not None:
        arrays = _checked_arrays(given, inputs)
        return {name: array[: given.batch_size] for name, array in arrays.items()}
    generator = np.random.default_rng(0)
    return {tensor.name: random_input(generator, tensor, given.batch_size) for tensor in inputs}


def _checked_arrays(given: argparse.Namespace, inputs: tuple[Tensor, ...]) -> dict[str, np.ndarray]:
    """The arrays of `--input`, which fit the model and fill a batch."""
    arrays = read_arrays(given.input)
    try:
        count = len(checked_batch(arrays, inputs)[0])
    except ValueError as error:
        raise InputError(error) from error
    if count < given.batch_size:
        raise InputError(
            f"Expected at least as many examples as --batch-size, {given.batch_size}. "
            f"Received: {count} in {given.input}"
        )
    return arrays


def random_input(generator: np.random.Generator, tensor: Tensor, batch_size: int) -> np.ndarray:
    """Values for an input: any integers of 8 bits, standard normal real ones."""
    if None in tensor.shape[1:]:
        raise InputError(
            f"Expected --input, since the model's input {tensor.name!r} has sizes that are free. "
            "Received none"
        )
    shape = (batch_size, *(size for size in tensor.shape[1:] if size is not None))
    if tensor.dtype.kind == "b":
        return generator.integers(0, 2, shape, bool)
    if tensor.dtype.kind in "iu" and tensor.dtype.itemsize == 1:
        bounds = np.iinfo(tensor.dtype)
        return generator.integers(bounds.min, bounds.max + 1, shape, tensor.dtype.type)
    if tensor.dtype.kind == "f":
        # Drawn in the type itself, where there is a generator of it.
        drawn = np.float64 if tensor.dtype == np.float64 else np.float32
        return generator.standard_normal(shape, drawn).astype(tensor.dtype, copy=False)
    # Random integers of other types may be numbers of classes or words: any is out of some range.
    raise InputError(
        f"Expected --input for an input of {tensor.dtype.name}, {tensor.name!r}. Received none"
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
        print(f"peak memory of the process, Python included: {megabytes:.1f} MB")
    if profile is not None:
        print(profile)
        for kind, entry in profile.by_type().items():
            print(f"{kind}: {entry.share:.1%}, {entry.milliseconds:.4f} ms, {entry.name}")
