"""The tables of the runtime's benchmark, made of what was measured."""

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
"""LceBconv2d; convolutions and dense layers of real values; all operators between."""


@dataclasses.dataclass(frozen=True)
class Row:
    """The time of a network in an interpreter.

    Attributes:
        model: its name in `networks.MODELS`.
        engine: the interpreter, as in `engines.ENGINES`; with a kernel set behind it where
            that was asked for.
        kernels: kbnn-runtime's kernel set; empty for the others.
        threads: given to the interpreter. LCE's indirect kernel has one whatever it is given.
        milliseconds: per inference, median over the turns.
        ratio: divided by kbnn-runtime's turn in the same round: above 1 is slower than it. Median.
        ratio_lower_quartile: a quarter of the rounds have a smaller ratio.
        ratio_upper_quartile: a quarter of the rounds have a larger one.
        rounds: turns of each engine.
        runs: inferences of a turn.
        binary_macs: multiply-accumulates of one bit in the file.
        real_macs: of floats or int8.
        file_bytes: size of the file.
        load: the machine's load average of a minute when the run began: other work, if not 0.
        versions: of the packages that the numbers depend on, as JSON.
        machine: processor and number of cores.
        instruction_set: the most that the processor has, as kbnn-runtime names its kernel sets.
        commit: the state of the repository; "+" behind it if files were changed.
        date: of the run.
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
    """The operators of a kind in a network, on one thread of kbnn-runtime.

    Each operator is timed alone, as a model of one operator (`kbnn_runtime.Profile` says what that
    leaves out), so the milliseconds of the groups do not add up to the network's.

    Attributes:
        model: its name in `networks.MODELS`.
        group: of `GROUPS`.
        kernels: kbnn-runtime's kernel set.
        operators: how many.
        milliseconds: their sum.
        share: of the sum of all operators.
        model_milliseconds: of the whole network, in the same run.
        macs: multiply-accumulates; 0 for glue.
        gmacs_per_second: thousand millions of them a second.
        peak_gmacs_per_second: of one core with these kernels, for the binary group: bit_peak.cc.
        peak_share: the former divided by the latter.
        clock_gigahertz: that the peak was measured at.
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
    """The memory of an interpreter, each in a fresh process.

    Attributes:
        model: its name in `networks.MODELS`.
        engine: the interpreter.
        threads: given to it.
        file_bytes: size of the file.
        filter_bytes: of its binary filters, which the delegate holds in another order.
        load_bytes: the most resident memory while the file was loaded and prepared, beyond what the
            process had when the interpreter's package was imported.
        invoke_bytes: the same up to the end of the inferences.
        allocations: calls of malloc and its siblings per inference, by whomever: LiteRT, Python's
            binding, the array of the output.
        delegate_allocations: of ten inferences, those called from the delegate's own code.
        delegate_bytes: the most that this code held of what it allocated, its filters with it;
            0 for other engines.
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
"""The columns by which new rows replace the rows of an earlier run."""


def provenance_columns() -> dict[str, str]:
    """The columns that say where, on what and when."""
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
    """A row for each engine that took its turns.

    Args:
        model: the network.
        threads: of the interpreters.
        times: of the engines; among them `BASELINE`, by whose turns the others are divided.
        files: for each engine what its file computes, and its size in bytes.
        kernels: the kernel set that kbnn-runtime chooses by itself.
        load: of the machine, when the run began.
        provenance_columns: as `provenance_columns` gives them.
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
    """A row for each group of operators that a file has; `profile` is `kbnn_runtime`'s, as JSON."""
    found = flatbuffer.read(content).operators
    times = profile["operators"]
    if [operator.name for operator in found] != [entry["type"] for entry in times]:
        raise ValueError(f"Expected a profile of {model}'s operators. Received one of others.")
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
    """The group of `GROUPS` that an operator belongs to, by its name in the file."""
    if operator == "LceBconv2d":
        return "binary"
    return "real" if operator in _REAL else "glue"
