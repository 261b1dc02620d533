"""The time that each operator of a model takes."""

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
    """What one operator takes.

    Attributes:
        type: `LceBconv2d`, or TFLite's name of it, such as `CONV_2D`.
        name: The name of its output.
        milliseconds: The median of its timed runs.
        share: `milliseconds` divided by the sum over all operators.
    """

    type: str
    name: str
    milliseconds: float
    share: float


@dataclasses.dataclass(frozen=True)
class Profile:
    """What the operators of a model take, each timed alone.

    LiteRT's interpreters for Python have no profiler. Each operator is run as a model of its own,
    through the same delegates, on the inputs that it has in the network. So the times tell which
    operators are dear, but do not add up to the model's: alone, an operator finds its weights and
    inputs in the caches, is not fused with its neighbours by XNNPACK or the delegate, and pays for
    a call of the interpreter, some microseconds.

    Attributes:
        operators: In the order in which they run.
        milliseconds: The whole model: the median of its timed runs, all operators together.
        runs: Timed runs of each.
    """

    operators: tuple[OperatorTime, ...]
    milliseconds: float
    runs: int

    def by_type(self) -> dict[str, OperatorTime]:
        """The sums over the operators of one type, the dearest type first.

        `name` says how many there are.
        """
        types = dict.fromkeys(entry.type for entry in self.operators)
        sums = {}
        for kind in types:
            entries = [entry for entry in self.operators if entry.type == kind]
            sums[kind] = OperatorTime(
                type=kind,
                name=f"{len(entries)} of them",
                milliseconds=sum(entry.milliseconds for entry in entries),
                share=sum(entry.share for entry in entries),
            )
        return dict(sorted(sums.items(), key=lambda item: -item[1].milliseconds))

    def to_dict(self) -> dict[str, Any]:
        """The profile as it goes into JSON."""
        return {
            "method": "each operator alone, as a model of its own",
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
            f"Each operator timed alone: {total:.4f} ms together; the whole model: "
            f"{self.milliseconds:.4f} ms (medians of {self.runs} runs)."
        )
        return "\n".join(lines)


def profiled(
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

    # The values between the operators, for whose sake LiteRT must not reuse their memory.
    session = Session(content, preserve_all_tensors=True, **options)
    session.prepare(arrays)
    session.invoke()
    times = []
    found = operators(content)
    for index, operator in enumerate(found):
        inputs = [session.tensor(tensor) for tensor in operator.inputs]
        alone = single_operator(content, index, operator)
        times.append(_median_time(alone, inputs, runs, warmup, options))
    return Profile(_with_shares(found, times), whole, runs)


def _median_time(
    content: bytes, arrays: Sequence[np.ndarray], runs: int, warmup: int, options: dict[str, Any]
) -> float:
    """The median of a model's runs in milliseconds."""
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


def _with_shares(found: list[Operator], times: list[float]) -> tuple[OperatorTime, ...]:
    total = sum(times)
    return tuple(
        OperatorTime(operator.type, operator.name, taken, taken / total)
        for operator, taken in zip(found, times, strict=True)
    )
