"""Instructions of pages and of inferences, and the plugin on a program of this machine."""

import shutil
import subprocess

import pytest

from runtime.benchmarks import arm_instructions
from runtime.benchmarks.arm_instructions import Count
from runtime.benchmarks.device_files import Macs


def test_pages_of_the_delegate_are_counted_by_themselves():
    pages = "1 10\n2 200\n3 3000\n9 40000\n"
    assert arm_instructions.sum_pages(pages, 2 * 4096, 4 * 4096) == Count(43210, 3200)
    assert arm_instructions.sum_pages(pages, 0, 0) == Count(43210, 0)


def test_start_and_preparation_drop_out():
    row = arm_instructions.row(
        "small", "kbnn-runtime", Count(1000, 300), Count(1800, 700), Macs(12800, 5), {}
    )
    assert (row.instructions, row.delegate_instructions) == (400, 200)
    assert row.delegate_instructions_per_128_macs == 2.0
    twin = arm_instructions.row("small", "float", Count(5, 0), Count(9, 0), Macs(0, 7), {})
    assert (twin.instructions, twin.delegate_instructions_per_128_macs) == (2, None)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("qemu-x86_64"), reason="needs Debian's package qemu-user")
def test_the_plugin_counts_a_loop(tmp_path):
    source = tmp_path / "loop.cc"
    source.write_text(
        'int main(int n, char**) { n *= 1000000; asm volatile("1: dec %0\\n jnz 1b" : "+r"(n)); }'
    )
    program, pages = tmp_path / "loop", tmp_path / "pages"
    subprocess.run(["c++", "-O1", "-static", str(source), "-o", str(program)], check=True)
    plugin = arm_instructions.build_plugin("c++", tmp_path)
    counts = []
    for given in ([], ["twice"]):
        command = ["qemu-x86_64", "-plugin", f"{plugin},out={pages}", str(program), *given]
        subprocess.run(command, check=True)
        counts.append(arm_instructions.sum_pages(pages.read_text(), 0, 0).all)
    # Two instructions a pass, a million passes more.
    assert counts[1] - counts[0] == pytest.approx(2_000_000, abs=2_000)
