"""Measure the time that each operator of a model takes."""

import dataclasses
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from kbnn_runtime.graph import Operator, operators, single_operator
from kbnn_runtime.session import Session


@dataclasses.dataclass(frozen=True)
class OperatorTime:
    """The time of one operator.

    Attributes:
        type: `LceBconv2d`, or a name of TFLite's such as `CONV_2D`.
        name: The name of its first output.
        milliseconds: The median of its timed runs.
        share: `milliseconds` divided by the sum over all operators.
    """

    type: str
    name: str
    milliseconds: float
    share: float


@dataclasses.dataclass(frozen=True)
class Profile:
    """The times of a model's operators, each measured separately.

    LiteRT's Python interpreters have no profiler. Each operator is run as a separate model, through
    the same delegates and on the inputs that it has in the network. The times show which operators
    are expensive, but do not add up to the model's time: run separately, an operator finds its
    weights and inputs in the caches, is not fused with its neighbours by XNNPACK or the delegate,
    and pays a few microseconds for a call of the interpreter.

    Attributes:
        operators: The operators in execution order.
        milliseconds: The median time of the whole model.
        runs: How many runs of each were timed.
    """

    operators: tuple[OperatorTime, ...]
    milliseconds: float
    runs: int

    def by_type(self) -> dict[str, OperatorTime]:
        """Return the total for each operator type, the most expensive first.

        The `name` of a total says how many operators it sums.
        """
        types = dict.fromkeys(entry.type for entry in self.operators)
        sums = {}
        for kind in types:
            entries = [entry for entry in self.operators if entry.type == kind]
            sums[kind] = OperatorTime(
                type=kind,
                name=f"{len(entries)} operators" if len(entries) > 1 else "1 operator",
                milliseconds=sum(entry.milliseconds for entry in entries),
                share=sum(entry.share for entry in entries),
            )
        return dict(sorted(sums.items(), key=lambda item: -item[1].milliseconds))

    def to_dict(self) -> dict[str, Any]:
        """Return the profile as `kbnn-run benchmark --json` prints it."""
        return {
            "method": "each operator timed separately, as a model",
            "runs": self.runs,
            "model_milliseconds": self.milliseconds,
            "operators": [dataclasses.asdict(entry) for entry in self.operators],
        }

    def __str__(self) -> str:
        width = max([len(entry.type) for entry in self.operators] + [len("operator")])
        lines = [f"{'operator':<{width}}  {'ms':>9}  {'share':>6}  output"]
        lines += [
            f"{entry.type:<{width}}  {entry.milliseconds:9.4f}  {entry.share:6.1%}  {entry.name}"
            for entry in self.operators
        ]
        total = sum(entry.milliseconds for entry in self.operators)
        lines.append(
            f"Operators timed separately: {total:.4f} ms in total. Whole model: "
            f"{self.milliseconds:.4f} ms (medians of {self.runs} runs)."
        )
        return "\n".join(lines)


def measure_profile(
    content: bytes,
    arrays: Sequence[np.ndarray],
    runs: int,
    warmup: int,
    *,
    num_threads: int,
    kernels: str,
) -> Profile:
    """Time a model and its operators on one batch: see `Interpreter.profile`."""
    for name, value, least in (("runs", runs, 1), ("warmup", warmup, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"Expected {name} to be an integer from {least}. Received: {value!r}")
    if not len(arrays[0]):
        raise ValueError("Expected a batch of at least one example. Received: none")
    options: dict[str, Any] = {"num_threads": num_threads, "kernels": kernels}
    whole = _median_time(content, arrays, runs, warmup, options)

    # Every operator's inputs are read below, so LiteRT must not reuse their memory.
    session = Session(content, preserve_all_tensors=True, **options)
    session.prepare(arrays)
    session.invoke()
    times = []
    found = operators(content)
    for index, operator in enumerate(found):
        inputs = [session.tensor(tensor) for tensor in operator.inputs]
        model = single_operator(content, index, operator)
        times.append(_median_time(model, inputs, runs, warmup, options))
    return Profile(_operator_times(found, times), whole, runs)


def _median_time(
    content: bytes, arrays: Sequence[np.ndarray], runs: int, warmup: int, options: dict[str, Any]
) -> float:
    """Return the median time of a model's runs in milliseconds."""
    session = Session(content, **options)
    session.prepare(arrays)
    for _ in range(warmup):
        session.invoke()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        session.invoke()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def _operator_times(found: list[Operator], times: list[float]) -> tuple[OperatorTime, ...]:
    total = sum(times)
    return tuple(
        OperatorTime(operator.type, operator.name, taken, taken / total)
        for operator, taken in zip(found, times, strict=True)
    )
