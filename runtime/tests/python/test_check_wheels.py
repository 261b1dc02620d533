"""The checks of wheels accept good libraries and report bad ones."""

import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
from check_wheels import ENTRY_POINTS, SOURCES, check_library, check_sdist, check_wheel

from kbnn_runtime import library_path
from shared_library import SharedLibrary, read_shared_library

SOURCE = """
extern "C" __attribute__((visibility("default"))) int tflite_plugin_create_delegate() { return 1; }
extern "C" __attribute__((visibility("default"))) int tflite_plugin_destroy_delegate() { return 2; }
"""
GOOD = SharedLibrary("x86_64", ENTRY_POINTS, ("libc.so.6",), ("GLIBC_2.17", "GLIBC_2.2.5"))

linux = pytest.mark.skipif(sys.platform != "linux", reason="ELF libraries are Linux's")


def built(folder: pathlib.Path, source: str, *flags: str) -> bytes:
    (folder / "library.cc").write_text(source)
    compiler = shutil.which("c++")
    assert compiler is not None
    command = [compiler, "-shared", "-fPIC", "-nostdlib", *flags, "library.cc", "-o", "library.so"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return (folder / "library.so").read_bytes()


@linux
def test_a_good_library_has_no_problems(tmp_path):
    library = read_shared_library(built(tmp_path, SOURCE))
    assert library.exports == ENTRY_POINTS
    assert check_library(library) == []


@linux
def test_an_executable_stack_is_reported(tmp_path):
    library = read_shared_library(built(tmp_path, SOURCE, "-Wl,-z,execstack"))
    assert check_library(library) == ["Expected no executable stack. Received: one"]


@linux
def test_additional_exports_are_reported(tmp_path):
    library = read_shared_library(built(tmp_path, SOURCE + "int further() { return 3; }"))
    (problem,) = check_library(library)
    assert "_Z7furtherv" in problem


@linux
def test_foreign_libraries_are_reported(tmp_path):
    library = read_shared_library(built(tmp_path, SOURCE, "-Wl,--no-as-needed", "-lstdc++"))
    (problem,) = check_library(library)
    assert "libstdc++.so.6" in problem


@linux
@pytest.mark.skipif(shutil.which("readelf") is None, reason="readelf is the judge")
def test_the_installed_library_is_read_like_readelf_does():
    path = library_path()
    library = read_shared_library(path.read_bytes())
    shown = subprocess.run(
        ["readelf", "--wide", "--dynamic", "--dyn-syms", "--version-info", path],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert all(f"Shared library: [{name}]" in shown for name in library.needs)
    assert shown.count("Shared library: [") == len(library.needs)
    assert all(f"Name: {version} " in shown for version in library.versions)
    assert library.versions
    assert library.exports == ENTRY_POINTS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exports": ENTRY_POINTS[:1]}, "Expected exports"),
        ({"exports": (*ENTRY_POINTS, "_Znwm")}, "_Znwm"),
        ({"needs": ("libgomp.so.1",)}, "libgomp.so.1"),
        ({"versions": ("GLIBC_2.18",)}, "GLIBC_2.18"),
        ({"versions": ("GLIBCXX_3.4",)}, "GLIBCXX_3.4"),
        ({"executable_stack": True}, "stack"),
    ],
)
def test_each_problem_is_reported(change, message):
    assert check_library(GOOD) == []
    (problem,) = check_library(SharedLibrary(**{**GOOD.__dict__, **change}))
    assert message in problem


@linux
def test_all_problems_of_a_wheel_are_reported(tmp_path):
    library = built(tmp_path, SOURCE)
    machine = read_shared_library(library).machine
    if machine != "x86_64":
        pytest.skip("the tags below are for x86-64")
    tags = "manylinux2014_x86_64.manylinux_2_17_x86_64"

    def problems(name=f"kbnn_runtime-1-py3-none-{tags}.whl", extra=None, tag_lines=tags):
        wheel = tmp_path / name
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("kbnn_runtime/libkbnn_delegate.so", library)
            lines = "".join(f"Tag: py3-none-{tag}\n" for tag in tag_lines.split("."))
            archive.writestr("kbnn_runtime-1.dist-info/WHEEL", lines)
            for path, content in (extra or {}).items():
                archive.writestr(path, content)
        return check_wheel(wheel)

    assert problems() == []
    (wrong_platform,) = problems(
        f"kbnn_runtime-1-py3-none-{tags.replace('x86_64', 'aarch64')}.whl",
        tag_lines=tags.replace("x86_64", "aarch64"),
    )
    assert "Received: .so for x86_64" in wrong_platform
    (wrong_tag,) = problems(tag_lines="linux_x86_64")
    assert "Received: ['linux_x86_64']" in wrong_tag
    (stranger,) = problems(extra={"tests/x.py": ""})
    assert "tests/x.py" in stranger
    (large,) = problems(extra={"kbnn_runtime/large": b"\0" * 1_000_000})
    assert "Expected less than 1000000 bytes" in large
    (two,) = problems(extra={"kbnn_runtime/other.so": library})
    assert "Expected one library" in two


def test_a_source_distribution_is_checked(tmp_path):
    def problems(*names: str) -> list[str]:
        path = tmp_path / "kbnn_runtime-1.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for name in names:
                archive.addfile(tarfile.TarInfo(f"kbnn_runtime-1/{name}"))
        return check_sdist(path)

    cpp = ["native/delegate.cc", "native/kernels/avx2.cc"]
    good = [*SOURCES, *cpp, "src/kbnn_runtime/cli/main.py"]
    assert problems(*good) == []
    (missing,) = problems(*good[1:])
    assert good[0] in missing
    (stranger,) = problems(*good, "build/native/delegate.cc.o")
    assert "delegate.cc.o" in stranger


def test_other_files_are_refused():
    with pytest.raises(ValueError, match="Received: another file"):
        read_shared_library(b"\x7fOLF" + b"\0" * 100)
