"""Compile and run the C++ tests, for this processor and, if there is an emulator, for ARM.

The environment variable CXX names the compiler (c++ by default). The cross compiler is Zig, from
the package ziglang.
"""

import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parent
NATIVE = FOLDER.parent.parent / "native"
FLAGS = ["-std=c++17", "-O2", "-fno-exceptions", "-fno-rtti", "-ffp-contract=off", "-Wall"]
FLAGS.append(f"-I{NATIVE}")
KERNELS = NATIVE / "kernels"
X86 = {
    "avx2.cc": ["-mavx2", "-mfma"],
    "avx512.cc": ["-mavx2", "-mfma", "-mavx512f", "-mavx512bw", "-mavx512vl"],
}
X86["avx512_vpopcntdq.cc"] = [*X86["avx512.cc"], "-mavx512vpopcntdq"]
SOURCES = ["processor.cc", "kernels.cc", "portable.cc"]
ARM = {
    "aarch64": ("aarch64-linux-musl", [], "qemu-aarch64-static"),
    "armv7": ("arm-linux-musleabihf", ["-mfpu=neon", "-mcpu=cortex_a53"], "qemu-arm-static"),
}


def run(*command: str | pathlib.Path) -> str:
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="session")
def compiler() -> str:
    name = os.environ.get("CXX", "c++")
    if shutil.which(name) is None:
        pytest.skip(f"the compiler {name} is not installed")
    return name


def test_structs_are_those_of_tensorflow_lite(compiler):
    run(compiler, "-std=c++17", f"-I{NATIVE}", "-fsyntax-only", FOLDER / "abi_test.cc")


def test_kernels_of_this_processor(compiler, tmp_path):
    objects = []
    sources = {name: [] for name in SOURCES}
    machine = run(compiler, "-dumpmachine").split("-")[0]
    sources |= X86 if machine == "x86_64" else {"neon.cc": []}
    for name, flags in sources.items():
        objects.append(tmp_path / f"{name}.o")
        run(compiler, *FLAGS, *flags, "-c", KERNELS / name, "-o", objects[-1])
    program = tmp_path / "kernels_test"
    test = FOLDER / "kernels_test.cc"
    run(compiler, *FLAGS, test, *objects, "-o", program)
    assert "portable" in run(program, "300")


@pytest.mark.parametrize("sanitizer", ["none", "thread"])
def test_thread_pool(sanitizer, compiler, tmp_path):
    program = tmp_path / "thread_pool_test"
    sources = [FOLDER / "thread_pool_test.cc"]
    sources += [NATIVE / "thread_pool.cc", NATIVE / "synchronization.cc"]
    flags = ["-g", "-pthread"]
    if sanitizer != "none":
        flags.append(f"-fsanitize={sanitizer}")
    run(compiler, *FLAGS, *flags, *sources, "-o", program)
    assert "no fault" in run(program)


@pytest.mark.slow
@pytest.mark.parametrize("machine", ARM)
def test_kernels_under_an_emulator(machine, tmp_path):
    target, flags, emulator = ARM[machine]
    if importlib.util.find_spec("ziglang") is None or shutil.which(emulator) is None:
        pytest.skip(f"needs the package ziglang and {emulator}")
    zig = [sys.executable, "-m", "ziglang", "c++", "-target", target, "-static"]
    sources = [KERNELS / name for name in [*SOURCES, "neon.cc"]]
    program = tmp_path / "kernels_test"
    tests = [FOLDER / "kernels_test.cc", FOLDER / "abi_test.cc"]
    run(*zig, *FLAGS, *flags, *tests, *sources, "-o", program)
    output = run(emulator, program, "100")
    assert "portable" in output
    assert "neon" in output
