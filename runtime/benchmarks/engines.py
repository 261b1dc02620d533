"""The interpreters that are compared, each timed in the process of its package."""

import dataclasses
import json
import math
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from kbnn.converters.worker import Worker, WorkerError

FOLDER = pathlib.Path(__file__).parent
BASELINE = "kbnn-runtime"
ENGINES = {
    BASELINE: "binary",
    "kbnn-runtime-unfused": "binary",
    "lce-indirect": "binary",
    "lce-indirect-xnnpack": "binary",
    "lce-default": "binary",
    "float": "float",
    "int8": "int8",
}
"""The kind of file that each interpreter runs. "unfused" computes each operator separately. LCE's
interpreter uses XNNPACK only if it is told to."""

_MOST_RUNS = 200
_ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "-1", "PYTHONWARNINGS": "ignore"}


class EngineError(RuntimeError):
    """An interpreter failed, or its process died."""


class EngineWorker(Worker):
    """A process that runs the commands of worker.py, until `close` or the end of a `with` block."""

    def __init__(self) -> None:
        super().__init__(FOLDER / "worker.py", environment=_ENVIRONMENT)

    def call(self, command: str, **arguments: Any) -> Any:
        """Run a command in the process and return its result.

        Raises:
            EngineError: the command failed or the process died; with its last message.
        """
        try:
            return super().call(command, **arguments)
        except WorkerError as error:
            last = f". Its last message: {error.messages[-1]}" if error.messages else ""
            raise EngineError(f"{error}{last}") from error

    def turn(self, engine: str, file: pathlib.Path, threads: int) -> Callable[[int], float]:
        """Load a file and return a function for `take_turns`, which runs it several times."""
        self.call("load", engine=engine, file=str(file), threads=threads)
        return lambda count: self.call("seconds", engine=engine, count=count)


@dataclasses.dataclass(frozen=True)
class Times:
    """The times of an engine.

    Attributes:
        seconds: time of an inference, one number for each round.
        runs: number of inferences in a round.
    """

    seconds: list[float]
    runs: int


def package(engine: str) -> str:
    """Return the process of an engine. LCE's interpreter imports TensorFlow, the others do not."""
    if engine.startswith("lce-"):
        return "lce"
    return BASELINE if engine.startswith(BASELINE) else "litert"


def take_turns(
    turn: Mapping[str, Callable[[int], float]], rounds: int, seconds: float = 0.02
) -> dict[str, Times]:
    """Time every engine once in each round, so that other work on the machine affects all alike.

    Args:
        turn: for each engine a function of a number of inferences. It runs one inference more than
            that, does not time the first one, and returns the mean of the others in seconds.
        rounds: number of rounds.
        seconds: length of a turn, which has 1 to 200 inferences.
    """
    runs = {}
    for engine, run in turn.items():
        # The first inferences are slower than the others.
        estimate = min(run(1) for _ in range(3))
        runs[engine] = max(1, min(_MOST_RUNS, math.ceil(seconds / estimate)))
    taken: dict[str, list[float]] = {engine: [] for engine in turn}
    for _ in range(rounds):
        for engine, run in turn.items():
            taken[engine].append(run(runs[engine]))
    return {engine: Times(taken[engine], runs[engine]) for engine in turn}


def memory(engine: str, file: pathlib.Path, threads: int, folder: pathlib.Path) -> dict[str, int]:
    """Measure memory and allocations of an engine in a fresh process, by `worker.memory`.

    Args:
        engine: a name from `ENGINES`.
        file: the model.
        threads: number of threads.
        folder: where the library that counts allocations is compiled.
    """
    counter = compile_tool("allocation_counter.cc", folder, "-shared", "-fPIC")
    environment = (
        os.environ
        | _ENVIRONMENT
        | {
            "LD_PRELOAD": str(counter),
            "KBNN_ALLOCATION_COUNTER": str(counter),
        }
    )
    command = [sys.executable, str(FOLDER / "worker.py"), "memory", engine, str(file)]
    done = subprocess.run(
        [*command, str(threads)], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise EngineError(f"{engine} failed: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)


@dataclasses.dataclass(frozen=True)
class Peak:
    """The peak of one core of this machine.

    Attributes:
        clock: in hertz, while one core works.
        macs: binary multiply-accumulates per second, by kernel set; see bit_peak.cc.
    """

    clock: float
    macs: dict[str, float]


def peak(folder: pathlib.Path) -> Peak:
    """Measure the peak of this machine by a program that is compiled in a folder."""
    program = compile_tool("bit_peak.cc", folder)
    done = subprocess.run([program], capture_output=True, text=True, check=True)
    found = {name: float(value) for name, value in map(str.split, done.stdout.splitlines())}
    return Peak(found.pop("clock"), found)


def compile_tool(source: str, folder: pathlib.Path, *flags: str) -> pathlib.Path:
    """Compile a C++ file of this folder to a program, or with flags to a library.

    Raises:
        EngineError: the compiler (CXX, or c++) failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / pathlib.Path(source).with_suffix(".so" if flags else "").name
    compiler = os.environ.get("CXX", "c++")
    command = [compiler, "-O3", "-std=c++17", *flags, str(FOLDER / source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineError(f"{compiler} could not compile {source}: {done.stderr.strip()[-500:]}")
    return target
