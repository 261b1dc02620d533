"""Compares the cycles of AArch64 inner loops with the loops of Larq Compute Engine.

    python -m runtime.benchmarks.arm_inner_loop --against FOLDER   # results/arm_inner_loop.csv

FOLDER is a checkout of https://github.com/larq/compute-engine. Needs LLVM's llvm-mca (Debian's
package llvm) and a C++ compiler for aarch64: Clang, or Zig's (pip install ziglang).

kbnn's kernels are compiled, and each innermost loop of the assembly that counts bits (`cnt`) is
analysed. LCE's loops are assembly in C++: their text is read from the checkout, the preprocessor
expands its macros, and its operands get registers. Loops are found by their labels and branches,
and are put between markers for llvm-mca.

A `cnt` of 16 bytes counts 128 bits, so the text of a loop gives its multiply-accumulates. The
analysis uses LLVM's model of a core, with every load in the first cache and every branch predicted.
It leaves out the code around the loop: kbnn widens its counts there, once every 31 words of a patch
or at its end, while LCE's loops widen inside.
"""

import dataclasses
import json
import pathlib
import re
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from research import provenance
from research.tables import write
from runtime.benchmarks.assembly_loops import TARGET, Loop, assembly_text, assign_registers, loops

FILE = provenance.ROOT / "results" / "arm_inner_loop.csv"
CORES = ("cortex-a53", "cortex-a55", "cortex-a72", "cortex-a76")
_NATIVE = provenance.ROOT / "runtime" / "native"
_KERNELS = _NATIVE / "kernels" / "neon.cc"
# The flags of runtime/CMakeLists.txt.
_FLAGS = ("-std=c++17", "-O3", "-fno-exceptions", "-fno-rtti", "-ffp-contract=off", "-fPIC", "-g0")
_LCE_KERNELS = (
    "bgemm/kernels_aarch64.h",
    "indirect_bgemm/kernel_8x4x1_aarch64.h",
    "indirect_bgemm/kernel_8x4x2_aarch64.h",
    "indirect_bgemm/kernel_8x4x4_aarch64.h",
)
_ITERATIONS = 1000

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0])


@dataclasses.dataclass(frozen=True)
class Row:
    """A loop on a core.

    Attributes:
        library: "kbnn" or "lce".
        source: the file of the loop.
        loop: its label in the file.
        core: LLVM's name of the core.
        macs: binary multiply-accumulates of a pass.
        instructions: instructions of a pass.
        cycles: cycles of a pass in the steady state.
        cycles_per_128_macs: cycles for 128 multiply-accumulates, to compare loops.
        instructions_per_128_macs: the same for instructions.
        versions: versions of the compiler and of llvm-mca, as JSON.
        commit: commit of the repository; "+" means that files had been edited.
        date: day of the run.
    """

    library: str
    source: str
    loop: str
    core: str
    macs: int
    instructions: int
    cycles: float
    cycles_per_128_macs: float
    instructions_per_128_macs: float
    versions: str
    commit: str
    date: str


@app.command()
def main(
    against: Annotated[
        pathlib.Path | None, typer.Option(help="A checkout of larq/compute-engine.")
    ] = None,
    compiler: Annotated[
        str, typer.Option(help='Compiler for aarch64, such as "python -m ziglang c++ -target ...".')
    ] = "clang++ --target=aarch64-linux-gnu",
    llvm_mca: Annotated[str, typer.Option(help="The program llvm-mca.")] = "llvm-mca",
    file: Annotated[pathlib.Path, typer.Option(help="The table.")] = FILE,
) -> None:
    """Analyse the loops, show the table, and write it."""
    found = {"kbnn": loops(_compile_kernels(shlex.split(compiler)), _KERNELS.name)}
    if against:
        found["lce"] = [
            loop for name in _LCE_KERNELS for loop in lce_loops(against, name, compiler)
        ]
    for library, own in found.items():
        if not own:
            raise typer.BadParameter(f"Expected loops that count bits. Received: none in {library}")
    columns = {
        "versions": json.dumps(
            {
                "compiler": _first_line([*shlex.split(compiler), "--version"]),
                "llvm-mca": _version_line(llvm_mca),
            }
        ),
        "commit": provenance.commit(),
        "date": provenance.today(),
    }
    table = []
    for library, own in found.items():
        for loop in own:
            for core in CORES:
                cycles, instructions = analyse(loop, core, llvm_mca)
                parts = loop.macs / 128
                table.append(
                    Row(
                        library=library,
                        source=loop.source,
                        loop=loop.name,
                        core=core,
                        macs=loop.macs,
                        instructions=instructions,
                        cycles=round(cycles, 3),
                        cycles_per_128_macs=round(cycles / parts, 3),
                        instructions_per_128_macs=round(instructions / parts, 3),
                        **columns,
                    )
                )
    write(table, file)
    Console(width=125).print(_render(table))


def lce_loops(checkout: pathlib.Path, name: str, compiler: str) -> list[Loop]:
    """Return the loops of one of LCE's headers, by its path below larq_compute_engine/core.

    Raises:
        typer.BadParameter: the folder has no such header.
    """
    path = checkout / "larq_compute_engine" / "core" / name
    if not path.is_file():
        raise typer.BadParameter(f"Expected a checkout with {path}. Received: one without it")
    text = "\n".join(
        line for line in path.read_text().splitlines() if not line.startswith("#include")
    )
    # Macros of ruy: offsets of members as text, and the optimizations that are on.
    defined = ("-DRUY_STR(x)=RUY_STR_(x)", "-DRUY_STR_(x)=#x", "-DRUY_OPT(x)=1")
    command = [*shlex.split(compiler), "-E", "-P", "-x", "c++", *defined]
    expanded = _output([*command, "-DRUY_PLATFORM_NEON_64=1", "-"], text)
    found = []
    for statement in re.findall(r"asm\s*(?:volatile)?\s*\((.*?)\)\s*;", expanded, re.DOTALL):
        # Other statements transform outputs, and may have more operands than there are registers.
        assembly = assembly_text(statement)
        own = (
            loops(assign_registers(assembly), name)
            if re.search(r"^\tcnt\s", assembly, re.M)
            else []
        )
        found += [loop for loop in own if loop not in found]
    return found


def analyse(loop: Loop, core: str, llvm_mca: str) -> tuple[float, int]:
    """Return the cycles and instructions of a pass, by llvm-mca's model of a core."""
    text = "\n".join(("# LLVM-MCA-BEGIN", *loop.lines[:-1], "# LLVM-MCA-END"))
    # The text does not have the label of the branch, so the branch gets a label before the loop.
    branch = TARGET.sub("0b", loop.lines[-1])
    text = text.replace("# LLVM-MCA-END", f"{branch}\n# LLVM-MCA-END").replace(
        "# LLVM-MCA-BEGIN", "# LLVM-MCA-BEGIN\n0:", 1
    )
    options = ["-mtriple=aarch64", f"-mcpu={core}", f"-iterations={_ITERATIONS}"]
    report = _output(
        [llvm_mca, *options, "-instruction-info=false", "-resource-pressure=false"], text
    )
    numbers = dict(re.findall(r"^(Instructions|Total Cycles):\s+(\d+)", report, re.MULTILINE))
    return int(numbers["Total Cycles"]) / _ITERATIONS, int(numbers["Instructions"]) // _ITERATIONS


def _compile_kernels(compiler: Sequence[str]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        assembly = pathlib.Path(folder, "kernels.s")
        _output([*compiler, *_FLAGS, f"-I{_NATIVE}", "-S", str(_KERNELS), "-o", str(assembly)], "")
        return assembly.read_text()


def _output(command: Sequence[str], text: str) -> str:
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise typer.BadParameter(f"Cannot find the program {command[0]!r}") from error
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()[-500:]}")
    return done.stdout


def _first_line(command: Sequence[str]) -> str:
    return _output(command, "").strip().splitlines()[0]


def _version_line(llvm_mca: str) -> str:
    lines = _output([llvm_mca, "--version"], "").splitlines()
    return next(line.strip() for line in lines if "version" in line)


def _render(table: list[Row]) -> Table:
    shown = Table(title="Cycles per 128 binary multiply-accumulates (llvm-mca)")
    for heading in ("library", "source", "loop", "MACs", "instructions", *CORES):
        shown.add_column(heading)
    for start in range(0, len(table), len(CORES)):
        rows = table[start : start + len(CORES)]
        shown.add_row(
            *(rows[0].library, rows[0].source.split("/")[-1], rows[0].loop, str(rows[0].macs)),
            f"{rows[0].instructions_per_128_macs:.2f}",
            *(f"{row.cycles_per_128_macs:.2f}" for row in rows),
        )
    return shown


if __name__ == "__main__":
    app()
