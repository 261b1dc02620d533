"""Counts the instructions of an inference on 64-bit ARM, under qemu's user emulation.

    python runtime/build_wheels.py linux-aarch64       # pip install "./runtime[wheels]"
    python -m runtime.benchmarks.arm_instructions              # writes results/arm_instructions.csv

You need Debian or a distribution based on it, its package qemu-user (QEMU up to 8.2), a C++
compiler, and the wheel of kbnn-runtime for aarch64. The first run downloads a Debian with Python
and LiteRT.

instruction_counter.cc counts the instructions that the emulated processor executes, a Cortex-A72 as
in a Raspberry Pi 4. Each file runs in two processes that differ only in the number of inferences.
The difference of their counts belongs to the inferences, without start and preparation.
Instructions in the delegate's library are kbnn's share. Counts do not say how long an instruction
takes; arm_inner_loop.py does.
"""

import dataclasses
import json
import pathlib
import shlex
import subprocess
import sys
import tempfile
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from research import provenance
from research.tables import write
from runtime.benchmarks import device_files, networks
from runtime.benchmarks.engines import BASELINE

sys.path.insert(0, str(provenance.ROOT / "runtime" / "wheel_tests"))

from arm_root import ARCHITECTURES, arm_root, install_wheels, run_python
from run_arm import wheel_for

FILE = provenance.ROOT / "results" / "arm_instructions.csv"
NETWORKS = ("resnet18", "quicknet", "vgg_small", "resnet20")
ENGINES = {BASELINE: "binary", "float": "float", "int8": "int8"}
"""The kind of file that each interpreter runs. LCE has no wheel for ARM."""

_COUNTER = pathlib.Path(__file__).parent / "instruction_counter.cc"
_ARCHITECTURE = "aarch64"
_CORE = "cortex-a72"
_PAGE = 4096
_CACHE = pathlib.Path.home() / ".cache" / "kbnn-runtime"
_FEWER, _MORE = 1, 3
# Runs in the emulated process, and prints the addresses of the delegate's code.
_PROGRAM = """
import importlib.metadata as metadata, json, os, sys
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # NumPy's threads wait in a loop
from runtime.benchmarks import worker
engine, file, count = sys.argv[1:]
run = worker.inference(engine, file, 1)
for _ in range(int(count)):
    run()
print(json.dumps({
    "delegate": worker.delegate_range(),
    "versions": {name: metadata.version(name) for name in ("ai-edge-litert", "numpy")},
}))
"""

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0])


@dataclasses.dataclass(frozen=True)
class Row:
    """The instructions of a network in an interpreter.

    Attributes:
        model: its name in `networks.MODELS`.
        engine: `kbnn-runtime`; `float` and `int8` are LiteRT with XNNPACK.
        core: the emulated core.
        instructions: instructions of an inference on one thread, from input to output.
        delegate_instructions: the instructions in kbnn's library.
        binary_macs: multiply-accumulates of one bit.
        real_macs: multiply-accumulates of floats or int8.
        delegate_instructions_per_128_macs: per 128 binary multiply-accumulates; empty for twins.
        versions: versions of the emulated packages and of the emulator, as JSON.
        commit: commit of the repository; "+" means that files had been edited.
        date: day of the run.
    """

    model: str
    engine: str
    core: str
    instructions: int
    delegate_instructions: int
    binary_macs: int
    real_macs: int
    delegate_instructions_per_128_macs: float | None
    versions: str
    commit: str
    date: str


@dataclasses.dataclass(frozen=True)
class Count:
    """The instructions of a process: all of them, and those in the delegate's library."""

    all: int
    delegate: int


@app.command()
def main(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Names from networks.py; by default the four networks."),
    ] = None,
    qemu: Annotated[str, typer.Option(help="The emulator, which must take plugins.")] = (
        "qemu-aarch64"
    ),
    compiler: Annotated[str, typer.Option(help="Compiler for this machine.")] = "c++",
    dist: Annotated[pathlib.Path, typer.Option(help="Folder of the wheel.")] = (
        provenance.ROOT / "runtime" / "dist"
    ),
    cache: Annotated[pathlib.Path, typer.Option(help="Folder of the emulated Debian.")] = _CACHE,
    file: Annotated[
        pathlib.Path | None,
        typer.Option(help=f"The table; by default {FILE} unless networks are named."),
    ] = None,
) -> None:
    """Count instructions, show the table, and write it."""
    unknown = sorted(set(names or []) - set(networks.MODELS))
    if unknown:
        raise typer.BadParameter(f"Expected {', '.join(networks.MODELS)}. Received: {unknown}")
    wheel = wheel_for(_ARCHITECTURE, dist)
    emulator_version = _first_line([qemu, "--version"])
    root = arm_root(_ARCHITECTURE, cache)
    table = []
    with tempfile.TemporaryDirectory(prefix="kbnn-") as temporary:
        folder = pathlib.Path(temporary)
        installed = folder / "installed"
        install_wheels([str(wheel)], ARCHITECTURES[_ARCHITECTURE], installed, dependencies=False)
        emulated_by = [qemu, "-cpu", _CORE]
        emulated_by += ["-plugin", f"{build_plugin(compiler, folder)},out={folder / 'pages'}"]
        for name in names or NETWORKS:
            files = device_files.files(name)
            for engine, kind in ENGINES.items():
                Console(stderr=True).print(f"{name}, {engine}")
                counts, about = [], {}
                for runs in (_FEWER, _MORE):
                    arguments = ["-c", _PROGRAM, engine, str(files[kind]), str(runs)]
                    path = [folder / "installed", pathlib.Path(__file__).parent]
                    done = run_python(_ARCHITECTURE, root, path, arguments, emulated_by=emulated_by)
                    if done.returncode:
                        raise RuntimeError(f"{name}, {engine}: {done.stderr.strip()[-2000:]}")
                    about = json.loads(done.stdout.splitlines()[-1])
                    counts.append(sum_pages((folder / "pages").read_text(), *about["delegate"]))
                macs = device_files.macs(files[kind].read_bytes())
                table.append(
                    row(
                        *(name, engine, counts[0], counts[1], macs),
                        {**about["versions"], "qemu": emulator_version, "wheel": wheel.name},
                    )
                )
    target = file or (None if names else FILE)
    if target:
        write(table, target)
    Console(width=125).print(_render(table))


def build_plugin(compiler: str, folder: pathlib.Path) -> pathlib.Path:
    """Compile the plugin into a folder."""
    library = folder / "instruction_counter.so"
    command = [*shlex.split(compiler), "-std=c++17", "-O2", "-shared", "-fPIC"]
    subprocess.run([*command, "-fvisibility=hidden", str(_COUNTER), "-o", str(library)], check=True)
    return library


def sum_pages(pages: str, first: int, last: int) -> Count:
    """Sum the plugin's counts over all pages, and over the pages between two addresses."""
    counts = [tuple(map(int, line.split())) for line in pages.splitlines()]
    return Count(
        sum(count for _, count in counts),
        sum(count for page, count in counts if first <= page * _PAGE < last),
    )


def row(
    model: str,
    engine: str,
    fewer: Count,
    more: Count,
    macs: device_files.Macs,
    versions: dict[str, str],
) -> Row:
    """Return the row of an engine, from the counts of two processes."""
    delegate = (more.delegate - fewer.delegate) / (_MORE - _FEWER)
    return Row(
        model=model,
        engine=engine,
        core=_CORE,
        instructions=round((more.all - fewer.all) / (_MORE - _FEWER)),
        delegate_instructions=round(delegate),
        binary_macs=macs.binary,
        real_macs=macs.real,
        delegate_instructions_per_128_macs=(
            round(128 * delegate / macs.binary, 3) if macs.binary else None
        ),
        versions=json.dumps(versions),
        commit=provenance.commit(),
        date=provenance.today(),
    )


def _first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise typer.BadParameter(f"Cannot find the program {command[0]!r}") from error
    return done.stdout.splitlines()[0]


def _render(table: list[Row]) -> Table:
    shown = Table(title=f"Instructions of an inference, in millions ({_CORE}, emulated)")
    for heading in ("model", "engine", "all", "in the delegate", "per 128 binary MACs"):
        shown.add_column(heading)
    for row in table:
        per_macs = row.delegate_instructions_per_128_macs
        shown.add_row(
            *(row.model, row.engine, f"{row.instructions / 1e6:.2f}"),
            f"{row.delegate_instructions / 1e6:.2f}" if row.delegate_instructions else "",
            "" if per_macs is None else f"{per_macs:.2f}",
        )
    return shown


if __name__ == "__main__":
    app()
