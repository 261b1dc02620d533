"""The C++ example compiles against TFLite's headers, which no package of PyPI or Debian has."""

import os
import pathlib
import shutil
import subprocess

import pytest

EXAMPLE = pathlib.Path(__file__).parents[3] / "examples" / "cpp" / "classify.cc"
INCLUDE = os.environ.get("TFLITE_INCLUDE")


@pytest.mark.skipif(INCLUDE is None, reason="TFLITE_INCLUDE names no folder with TFLite's headers")
def test_the_example_compiles():
    compiler = shutil.which("c++")
    assert compiler is not None
    command = [compiler, "-std=c++17", "-Wall", "-Werror", "-fsyntax-only", f"-I{INCLUDE}"]
    done = subprocess.run([*command, EXAMPLE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
