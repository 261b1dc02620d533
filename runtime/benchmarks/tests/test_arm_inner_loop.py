"""Loops in assembly, operands of inline assembly, and the output of llvm-mca."""

import shutil

import pytest

from runtime.benchmarks import arm_inner_loop, assembly_loops
from runtime.benchmarks.assembly_loops import Loop

ASSEMBLY = """
outer:
	ldr	x1, [x0]
.LBB0_1:                                // inner
	ldr	q0, [x2], #16
	eor	v1.16b, v0.16b, v2.16b
	cnt	v1.16b, v1.16b
	cnt	v3.8b, v3.8b
	.loc 1 2 3
	subs	x3, x3, #1
	b.ne	.LBB0_1
	b.ne	outer
no_count:
	subs	x3, x3, #1
	b.ne	no_count
"""


def test_loops_that_count_bits_are_found():
    (loop,) = assembly_loops.loops(ASSEMBLY, "kernels.s")
    assert (loop.name, loop.macs, len(loop.lines)) == (".LBB0_1", 192, 6)
    assert loop.lines[-1].split() == ["b.ne", ".LBB0_1"]


def test_operands_get_registers_that_the_text_does_not_use():
    text = "\tldr %q[a], [%[p]], #16\n\teor v0.16b, %[a].16b, %[b].16b\n\tsub w0, %w[n], #1"
    assert assembly_loops.assign_registers(text) == (
        "\tldr q1, [x1], #16\n\teor v0.16b, v1.16b, v2.16b\n\tsub w0, w2, #1"
    )


@pytest.fixture
def checkout(tmp_path):
    """A header like LCE's, with a macro, a condition and a statement for outputs."""
    folder = tmp_path / "larq_compute_engine" / "core" / "indirect_bgemm"
    folder.mkdir(parents=True)
    (folder / "kernel.h").write_text(
        """
#include "nowhere.h"
#define BLOCK "eor v0.16b, %[a].16b, %[w].16b\\n\\t" "cnt v0.16b, v0.16b\\n\\t"
void f() {
  asm volatile("0:\\n\\t" "subs %w[n], %w[n], #1\\n\\t"
               ".if %c[grouped]\\n\\t" "add x9, x9, #1\\n" ".endif\\n\\t"
               BLOCK "bgt 0b\\n\\t"
               : [n] "+r"(n) : [a] "w"(a), [w] "w"(w), [grouped] "i"(g) : "cc");
  asm("ldr q0, [%[p]]" : : [p] "r"(p));
}
"""
    )
    return tmp_path


@pytest.mark.skipif(shutil.which("clang++") is None, reason="needs Clang")
def test_loops_of_inline_assembly(checkout):
    (loop,) = arm_inner_loop.lce_loops(checkout, "indirect_bgemm/kernel.h", "clang++")
    assert [line.split()[0] for line in loop.lines] == ["subs", "eor", "cnt", "bgt"]
    assert (loop.macs, loop.name) == (128, "0")


def test_a_folder_that_is_no_checkout_is_refused(tmp_path):
    with pytest.raises(arm_inner_loop.typer.BadParameter, match="checkout"):
        arm_inner_loop.lce_loops(tmp_path, "bgemm/kernels_aarch64.h", "clang++")


@pytest.mark.skipif(shutil.which("llvm-mca") is None, reason="needs LLVM")
def test_a_chain_of_dependent_instructions_takes_their_latency():
    chain = Loop("s", "l", ("\tadd x0, x0, x1", "\tadd x0, x0, x1", "\tcbnz x2, .Lwhere"))
    cycles, instructions = arm_inner_loop.analyse(chain, "cortex-a72", "llvm-mca")
    assert instructions == 3
    assert 2.0 <= cycles < 2.1
