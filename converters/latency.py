"""How long a device file takes on this machine."""

import dataclasses
import math
import os
import pathlib
import statistics
import time
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from kbnn.converters import flatbuffer, interpreters, lce

_ROUNDS = 5


@dataclasses.dataclass(frozen=True)
class Latency:
    """The time of one inference of one image, in milliseconds.

    Attributes:
        interpreter: which one ran the file.
        num_threads: threads that it was given.
        runs: timed runs.
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
        """The fields, ready for JSON."""
        return dataclasses.asdict(self)


def latency(
    path: str | os.PathLike,
    *,
    interpreter: str | Collection[str] | None = None,
    num_threads: int = 1,
    runs: int = 50,
) -> list[Latency]:
    """Time a device file, one image at a time, on numbers drawn at random.

    The interpreters take turns, so that other work on the machine meets them alike: compare the
    rows of one call. A time holds the handing over of input and output in Python.

    Args:
        path: the `.tflite` file.
        interpreter: one or several of `INTERPRETERS`; by default all that are installed.
        num_threads: threads for kbnn-runtime, 1 to 128. LCE's fast kernel has one thread.
        runs: timed runs of each interpreter, 5 or more, after a fifth as many untimed ones.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a valid `.tflite` file; an input of an open size; an argument out of range.
        ConversionError: an interpreter failed.
    """
    given = interpreters.available() if interpreter is None else interpreter
    names = [
        interpreters.resolve_interpreter(name)
        for name in ([given] if isinstance(given, str) else given)
    ]
    for name, value, least in (("num_threads", num_threads, 1), ("runs", runs, _ROUNDS)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(
                f"Expected `{name}` to be a whole number from {least} on. Received: {value!r}"
            )
    content = pathlib.Path(path).read_bytes()
    lce.check_file(content, str(path))
    image = [_random(port) for port in flatbuffer.read(content).inputs]
    timed = {name: _TIMED[name](path, image, num_threads) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    in_a_turn = math.ceil(runs / _ROUNDS)
    for turn in range(1 + _ROUNDS):
        for name, run in timed.items():
            found = run(in_a_turn)
            seconds[name] += found if turn else []
    return [
        _summary(name, seconds[name][:runs], num_threads if name == interpreters.RUNTIME else 1)
        for name in names
    ]


def _random(port: flatbuffer.Port) -> np.ndarray:
    shape = (1, *port.shape[1:])
    if port.dtype is None or any(size is None or size < 1 for size in shape):
        raise ValueError(
            f"Expected a file whose inputs have fixed sizes. Received: {port.name!r} of shape "
            f"{port.shape}"
        )
    draw = np.random.default_rng(0)
    if port.dtype.kind == "f":
        return draw.uniform(-1, 1, shape).astype(port.dtype)
    if port.dtype.kind == "b":
        return draw.integers(0, 2, shape).astype(bool)
    # Of wide integers, which are indices as a rule, small ones.
    limits = np.iinfo(port.dtype)
    low, high = (limits.min, limits.max) if port.dtype.itemsize == 1 else (0, 1)
    return draw.integers(low, high, shape, endpoint=True).astype(port.dtype)


def _of_runtime(
    path: str | os.PathLike, image: list[np.ndarray], num_threads: int
) -> Callable[[int], list[float]]:
    runtime = interpreters.runtime_interpreter(path, num_threads)
    inputs = interpreters.named(runtime, image)

    def run(count: int) -> list[float]:
        seconds = []
        for _ in range(count):
            start = time.perf_counter()
            runtime.predict(inputs)
            seconds.append(time.perf_counter() - start)
        return seconds

    return run


def _of_lce(
    path: str | os.PathLike, image: list[np.ndarray], num_threads: int
) -> Callable[[int], list[float]]:
    return lambda count: lce.seconds(path, image, count)


_TIMED = {interpreters.RUNTIME: _of_runtime, interpreters.LCE: _of_lce}


def _summary(name: str, seconds: list[float], num_threads: int) -> Latency:
    tenths = statistics.quantiles(seconds, n=10, method="inclusive")
    return Latency(
        interpreter=name,
        num_threads=num_threads,
        runs=len(seconds),
        median=1000 * statistics.median(seconds),
        percentile_10=1000 * tenths[0],
        percentile_90=1000 * tenths[-1],
    )
