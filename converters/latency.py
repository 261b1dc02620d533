"""Times a device file on this machine."""

import dataclasses
import math
import os
import statistics
import time
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from kbnn import _checks
from kbnn.converters import interpreters, lce
from kbnn.converters.device_file import read_device_file
from kbnn.converters.flatbuffer import Port

_ROUNDS = 5


@dataclasses.dataclass(frozen=True)
class Latency:
    """How long an interpreter takes for one image, in milliseconds.

    Attributes:
        interpreter: the interpreter that ran the file.
        num_threads: how many threads it used.
        runs: how many runs were timed.
        median: half of the runs took less.
        percentile_10: a tenth of the runs took less.
        percentile_90: a tenth of the runs took more.
    """

    interpreter: str
    num_threads: int
    runs: int
    median: float
    percentile_10: float
    percentile_90: float

    def to_dict(self) -> dict[str, Any]:
        """The attributes, ready for JSON."""
        return dataclasses.asdict(self)


def latency(
    path: str | os.PathLike,
    *,
    interpreter: str | Collection[str] | None = None,
    num_threads: int = 1,
    runs: int = 50,
) -> list[Latency]:
    """Time a device file, one image at a time, on random numbers.

    The interpreters take turns, so that other work on the machine slows all of them alike. Compare
    only rows of the same call. A time includes passing input and output in Python.

    Args:
        path: the `.tflite` file.
        interpreter: "kbnn-runtime", "lce", or a list of both; None for all that are
            installed.
        num_threads: threads for kbnn-runtime, 1 to 128. LCE's fast kernel always uses one.
        runs: timed runs of each interpreter, 5 or more. A fifth as many untimed runs come first.

    Returns:
        For each interpreter one object with the attributes `interpreter`, `num_threads`, `runs`,
            `median`, `percentile_10` and `percentile_90`, in milliseconds. `to_dict()` gives them
            for JSON.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not a valid `.tflite` file, an input has a size that is not fixed, or an
            argument is out of range; an interpreter is not installed.
        ConversionError: an interpreter failed.

    Example:

    >>> (row,) = kbnn.converters.latency("model.tflite", interpreter="lce")    # doctest: +SKIP
    >>> row.median                                                             # doctest: +SKIP
    0.31
    """
    given: Collection[str | None]
    if interpreter is None:
        given = interpreters.installed_interpreters() or [None]  # None is refused below
    else:
        given = [interpreter] if isinstance(interpreter, str) else interpreter
    names = [interpreters.resolve_interpreter(name) for name in given]
    num_threads = _checks.integer("num_threads", num_threads, least=1)
    runs = _checks.integer("runs", runs, least=_ROUNDS)
    file = read_device_file(path)
    image = [_random_array(port) for port in file.graph.inputs]
    timers = {name: _TIMERS[name](path, image, num_threads) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    runs_per_turn = math.ceil(runs / _ROUNDS)
    for turn in range(1 + _ROUNDS):
        for name, time_runs in timers.items():
            found = time_runs(runs_per_turn)
            seconds[name] += found if turn else []
    return [
        _summary(name, seconds[name][:runs], num_threads if name == interpreters.RUNTIME else 1)
        for name in names
    ]


def _random_array(port: Port) -> np.ndarray:
    shape = (1, *port.shape[1:])
    if port.dtype is None or any(size is None or size < 1 for size in shape):
        raise ValueError(
            "Expected a file whose inputs have fixed sizes. "
            f"Received: {port.name!r} of shape {port.shape}"
        )
    draw = np.random.default_rng(0)
    if port.dtype.kind == "f":
        return draw.uniform(-1, 1, shape).astype(port.dtype)
    if port.dtype.kind == "b":
        return draw.integers(0, 2, shape).astype(bool)
    # Wide integers are usually indices, so small ones are safe.
    limits = np.iinfo(port.dtype)
    low, high = (limits.min, limits.max) if port.dtype.itemsize == 1 else (0, 1)
    return draw.integers(low, high, shape, endpoint=True).astype(port.dtype)


def _runtime_timer(
    path: str | os.PathLike, image: list[np.ndarray], num_threads: int
) -> Callable[[int], list[float]]:
    runtime = interpreters.runtime_interpreter(path, num_threads)
    inputs = interpreters.inputs_by_name(runtime, image)

    def run(count: int) -> list[float]:
        seconds = []
        for _ in range(count):
            start = time.perf_counter()
            runtime.predict(inputs)
            seconds.append(time.perf_counter() - start)
        return seconds

    return run


def _lce_timer(
    path: str | os.PathLike, image: list[np.ndarray], num_threads: int
) -> Callable[[int], list[float]]:
    return lambda count: lce.time_runs(path, image, count)


_TIMERS = {interpreters.RUNTIME: _runtime_timer, interpreters.LCE: _lce_timer}


def _summary(name: str, seconds: list[float], num_threads: int) -> Latency:
    deciles = statistics.quantiles(seconds, n=10, method="inclusive")
    return Latency(
        interpreter=name,
        num_threads=num_threads,
        runs=len(seconds),
        median=1000 * statistics.median(seconds),
        percentile_10=1000 * deciles[0],
        percentile_90=1000 * deciles[-1],
    )
