"""The rows of the runtime's tables."""

import dataclasses
import importlib.metadata
import json
import statistics
from typing import Any

import kbnn_runtime
from kbnn.converters import flatbuffer
from kbnn.runs.folder import versions
from research import provenance, step_timing
from runtime.benchmarks import device_files
from runtime.benchmarks.device_files import Macs
from runtime.benchmarks.engines import BASELINE, Peak, Times

_PACKAGES = ("kbnn-runtime", "ai-edge-litert", "larq-compute-engine")
_REAL = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
GROUPS = ("binary", "real", "glue")
"""LceBconv2d; real-valued convolutions and dense layers; all other operators."""


@dataclasses.dataclass(frozen=True)
class Row:
    """The time of a network in an interpreter.

    Attributes:
        model: its name in `networks.MODELS`.
        engine: the interpreter, a name from `engines.ENGINES`; followed by a kernel set if one was
            named.
        kernels: kbnn-runtime's kernel set; empty for the others.
        threads: number of threads. LCE's indirect kernel always has one.
        milliseconds: time of an inference, median of the rounds.
        ratio: that time divided by kbnn-runtime's in the same round; median. Above 1 is slower.
        ratio_lower_quartile: a quarter of the rounds have a smaller ratio.
        ratio_upper_quartile: a quarter of the rounds have a larger ratio.
        rounds: number of rounds.
        runs: number of inferences in a round.
        binary_macs: multiply-accumulates of one bit in the file.
        real_macs: multiply-accumulates of floats or int8.
        file_bytes: size of the file.
        load: load average of the last minute when the run began.
        versions: versions of the packages that the numbers depend on, as JSON.
        machine: processor and number of cores.
        instruction_set: the widest one of the processor, by the name of kbnn-runtime's kernel set.
        commit: commit of the repository; "+" means that files had been edited.
        date: day of the run.
    """

    model: str
    engine: str
    kernels: str
    threads: int
    milliseconds: float
    ratio: float
    ratio_lower_quartile: float
    ratio_upper_quartile: float
    rounds: int
    runs: int
    binary_macs: int
    real_macs: int
    file_bytes: int
    load: float
    versions: str
    machine: str
    instruction_set: str
    commit: str
    date: str


@dataclasses.dataclass(frozen=True)
class OperatorRow:
    """A group of operators in a network, on one thread of kbnn-runtime.

    Each operator is timed as a model of one operator (`kbnn_runtime.Profile` says what that leaves
    out), so the milliseconds of the groups do not add up to the network's.

    Attributes:
        model: its name in `networks.MODELS`.
        group: one of `GROUPS`.
        kernels: kbnn-runtime's kernel set.
        operators: number of operators.
        milliseconds: the sum of their times.
        share: that sum divided by the sum over all operators.
        model_milliseconds: time of the whole network in the same run.
        macs: multiply-accumulates; 0 for glue.
        gmacs_per_second: 10^9 multiply-accumulates per second.
        peak_gmacs_per_second: peak of one core with this kernel set, for binary operators.
        peak_share: share of the peak that is reached.
        clock_gigahertz: clock during the measurement of the peak.
        peak_bits_per_cycle: the peak divided by the clock.
        versions, machine, instruction_set, commit, date: as in `Row`.
    """

    model: str
    group: str
    kernels: str
    operators: int
    milliseconds: float
    share: float
    model_milliseconds: float
    macs: int
    gmacs_per_second: float
    peak_gmacs_per_second: float | None
    peak_share: float | None
    clock_gigahertz: float
    peak_bits_per_cycle: float | None
    versions: str
    machine: str
    instruction_set: str
    commit: str
    date: str


@dataclasses.dataclass(frozen=True)
class MemoryRow:
    """The memory of an interpreter in a fresh process.

    Attributes:
        model: its name in `networks.MODELS`.
        engine: the interpreter.
        threads: number of threads.
        file_bytes: size of the file.
        filter_bytes: size of its binary filters, which the delegate holds in another order.
        load_bytes: peak of resident memory until the file was prepared, beyond the memory of the
            imported package.
        invoke_bytes: the same until the end of the inferences.
        allocations: calls of malloc and its siblings in an inference, by the delegate, LiteRT and
            Python.
        delegate_allocations: calls from the delegate's code in ten inferences.
        delegate_bytes: the most memory that the delegate's code held, its filters included; 0 for
            other engines.
        versions, machine, instruction_set, commit, date: as in `Row`.
    """

    model: str
    engine: str
    threads: int
    file_bytes: int
    filter_bytes: int
    load_bytes: int
    invoke_bytes: int
    allocations: int
    delegate_allocations: int
    delegate_bytes: int
    versions: str
    machine: str
    instruction_set: str
    commit: str
    date: str


SAME_NETWORK = ("instruction_set", "model")
"""New rows replace the rows that have the same values in these columns."""


def provenance_columns() -> dict[str, str]:
    """Return the columns that say where, when and by which versions a number was measured."""
    packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "versions": json.dumps(versions() | packages),
        "machine": provenance.machine(),
        "instruction_set": kbnn_runtime.available_kernels()[-1],
        "commit": provenance.commit(),
        "date": provenance.today(),
    }


def timing_rows(
    model: str,
    threads: int,
    times: dict[str, Times],
    files: dict[str, tuple[Macs, int]],
    *,
    kernels: str,
    load: float,
    provenance_columns: dict[str, str],
) -> list[Row]:
    """Return a row for each engine.

    Args:
        model: the network.
        threads: number of threads.
        times: the times of the engines. The others are divided by the times of `BASELINE`.
        files: for each engine the multiply-accumulates and the size of its file.
        kernels: kbnn-runtime's default kernel set.
        load: load average when the run began.
        provenance_columns: the result of `provenance_columns`.
    """
    baseline = times[BASELINE].seconds
    table = []
    for engine, own in times.items():
        ratio = step_timing.ratio(own.seconds, baseline)
        macs, size = files[engine]
        named = engine.removeprefix(BASELINE).removeprefix("-")
        if named in ("", "unfused"):
            named = kernels
        table.append(
            Row(
                model=model,
                engine=engine,
                kernels=named if engine.startswith(BASELINE) else "",
                threads=threads,
                milliseconds=round(1000 * statistics.median(own.seconds), 4),
                ratio=round(ratio.median, 4),
                ratio_lower_quartile=round(ratio.lower_quartile, 4),
                ratio_upper_quartile=round(ratio.upper_quartile, 4),
                rounds=len(own.seconds),
                runs=own.runs,
                binary_macs=macs.binary,
                real_macs=macs.real,
                file_bytes=size,
                load=round(load, 2),
                **provenance_columns,
            )
        )
    return table


def operator_rows(
    model: str,
    content: bytes,
    profile: dict[str, Any],
    peak: Peak,
    *,
    kernels: str,
    provenance_columns: dict[str, str],
) -> list[OperatorRow]:
    """Return a row for each group of operators in a file, from kbnn-runtime's profile as JSON."""
    found = flatbuffer.read(content).operators
    times = profile["operators"]
    if [operator.name for operator in found] != [entry["type"] for entry in times]:
        raise ValueError(f"Expected a profile of {model}. Received: one with other operators")
    total = sum(entry["milliseconds"] for entry in times)
    table = []
    for group in GROUPS:
        members = [i for i, operator in enumerate(found) if operator_group(operator.name) == group]
        if not members:
            continue
        milliseconds = sum(times[i]["milliseconds"] for i in members)
        macs = sum(device_files.macs_of(found[i]) for i in members)
        speed = macs / milliseconds / 1e6
        top = peak.macs[kernels] if group == "binary" else None
        table.append(
            OperatorRow(
                model=model,
                group=group,
                kernels=kernels,
                operators=len(members),
                milliseconds=round(milliseconds, 4),
                share=round(milliseconds / total, 4),
                model_milliseconds=round(profile["model_milliseconds"], 4),
                macs=macs,
                gmacs_per_second=round(speed, 2),
                peak_gmacs_per_second=None if top is None else round(top / 1e9, 1),
                peak_share=None if top is None else round(speed * 1e9 / top, 4),
                clock_gigahertz=round(peak.clock / 1e9, 3),
                peak_bits_per_cycle=None if top is None else round(top / peak.clock, 1),
                **provenance_columns,
            )
        )
    return table


def operator_group(operator: str) -> str:
    """Return the group of an operator, by its name in the file."""
    if operator == "LceBconv2d":
        return "binary"
    return "real" if operator in _REAL else "glue"
