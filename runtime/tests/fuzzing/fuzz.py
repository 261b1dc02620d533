"""Fuzz the delegate, and write a report.

    python runtime/tests/fuzzing/fuzz.py --output results/runtime_fuzzing.txt

The first part is the libFuzzer target fuzz_delegate.cc, built by Clang with AddressSanitizer and
UndefinedBehaviorSanitizer, which runs operators of any shape and options. The second part is
fuzz_models.py, which runs corrupt files in LiteRT, with the installed library or the one in the
environment variable KBNN_DELEGATE. If either finds a fault, this exits with 1 and writes no report.
"""

import argparse
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata

FOLDER = pathlib.Path(__file__).parent
NATIVE = FOLDER.parent.parent / "native"
SANITIZERS = ["-fsanitize=fuzzer-no-link,address,undefined", "-fno-sanitize-recover=all"]
FLAGS = ["-std=c++17", "-O1", "-g", "-fno-omit-frame-pointer", "-ffp-contract=off", f"-I{NATIVE}"]
AVX512 = ["-mavx2", "-mfma", "-mavx512f", "-mavx512bw", "-mavx512vl"]
INSTRUCTIONS = {
    "kernels/avx2.cc": ["-mavx2", "-mfma"],
    "kernels/avx512.cc": AVX512,
    "kernels/avx512_vpopcntdq.cc": [*AVX512, "-mavx512vpopcntdq"],
}


def build(clang: str, folder: pathlib.Path) -> pathlib.Path:
    """Build the libFuzzer target."""
    x86 = platform.machine() in ("x86_64", "AMD64")
    objects = []
    for source in sorted(NATIVE.rglob("*.cc")):
        name = source.relative_to(NATIVE).as_posix()
        instructions = INSTRUCTIONS.get(name)
        if (instructions is not None and not x86) or (name == "kernels/neon.cc" and x86):
            continue
        objects.append(folder / f"{name.replace('/', '_')}.o")
        flags = [*FLAGS, *SANITIZERS, *(instructions or [])]
        subprocess.run([clang, *flags, "-c", source, "-o", objects[-1]], check=True)
    target = folder / "fuzz_delegate"
    flags = [*FLAGS, "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
    sources = [FOLDER / "fuzz_delegate.cc", *objects]
    subprocess.run([clang, *flags, *sources, "-lpthread", "-o", target], check=True)
    return target


def fuzz_delegate(clang: str, cases: int, seed: int) -> str:
    """Run the target, and return its line of the report."""
    with tempfile.TemporaryDirectory() as folder:
        target = build(clang, pathlib.Path(folder))
        arguments = [f"-runs={cases}", f"-seed={seed}", "-max_len=400", "-len_control=0"]
        result = subprocess.run([target, *arguments], cwd=folder, capture_output=True, text=True)
        if result.returncode != 0:
            sys.exit(result.stderr[-20000:])
        coverage = re.findall(r"cov: (\d+)", result.stderr)[-1]
        kernels = ", ".join(re.findall(r"^kernels: (\w+)$", result.stderr, re.MULTILINE))
        # The coverage shows whether the cases reached the code.
        return (
            f"{cases} operators under sanitizers, kernels {kernels}, seed {seed}: no finding, "
            f"{coverage} edges covered"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000, help="cases of each part")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clang", default=shutil.which("clang++") or "clang++-14")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    line = fuzz_delegate(arguments.clang, arguments.cases, arguments.seed)
    command = ["--cases", str(arguments.cases), "--seed", str(arguments.seed)]
    models = subprocess.run(
        [sys.executable, FOLDER / "fuzz_models.py", *command],
        capture_output=True,
        text=True,
        env=os.environ,
    )
    if models.returncode != 0:
        sys.exit(models.stdout + models.stderr)
    clang = subprocess.run([arguments.clang, "--version"], capture_output=True, text=True).stdout
    arguments.output.write_text(
        f"{line}\n{models.stdout}"
        f"{clang.splitlines()[0]}; ai-edge-litert {metadata.version('ai-edge-litert')}; "
        f"{platform.machine()}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
