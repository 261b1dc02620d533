"""Check the wheels and the source distribution that build_wheels.py built.

    python check_wheels.py [dist/*]

Each wheel must have the right tags and size, and a library for the tagged platform. The library
must export the two entry points of a delegate and nothing else, and must need only system
libraries, no newer glibc than the tag says, and no executable stack. The source distribution must
contain what a build needs, and nothing else.
"""

import argparse
import pathlib
import re
import sys
import tarfile
import zipfile

from shared_library import SharedLibrary, read_shared_library

HERE = pathlib.Path(__file__).resolve().parent
ENTRY_POINTS = ("tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate")
MAXIMUM_BYTES = 1_000_000
_SUFFIXES = (".so", ".dylib", ".dll")
_TAGS = {
    "manylinux_2_17_x86_64": (".so", "x86_64"),
    "manylinux2014_x86_64": (".so", "x86_64"),
    "manylinux_2_17_aarch64": (".so", "aarch64"),
    "manylinux2014_aarch64": (".so", "aarch64"),
    "manylinux_2_17_armv7l": (".so", "arm"),
    "manylinux2014_armv7l": (".so", "arm"),
    "macosx_11_0_arm64": (".dylib", "aarch64"),
    "win_amd64": (".dll", "x86_64"),
}
# The system libraries: glibc's (from manylinux's list), and the C libraries of macOS and Windows.
_SYSTEM = re.compile(
    r"lib(c|m|dl|rt|pthread)\.so\.[0-9]+|ld-linux[-a-z0-9_]*\.so\.[0-9]+"
    r"|/usr/lib/libSystem\.B\.dylib"
    r"|(kernel32|ntdll|api-ms-win-crt-[a-z0-9-]+)\.dll",
    re.IGNORECASE,
)
_GLIBC = (2, 17)
SOURCES = ("CMakeLists.txt", "LICENSE", "PKG-INFO", "README.md", "exports.map", "pyproject.toml")
_SOURCE = re.compile(
    "|".join(map(re.escape, SOURCES))
    + r"|native/(\w+/)?\w+\.(cc|h)|native/README\.md|src/kbnn_runtime/(\w+/)*(\w+\.py|py\.typed)"
)
# Zig's linker exports these names of the file header from every macOS library.
_LINKERS_OWN = {"__dso_handle", "_mh_dylib_header"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("wheels", nargs="*", type=pathlib.Path)
    built = [path for pattern in ("*.whl", "*.tar.gz") for path in (HERE / "dist").glob(pattern)]
    wheels = parser.parse_args().wheels or sorted(built)
    if not wheels:
        parser.error(f"Expected wheels in {HERE / 'dist'}. Run build_wheels.py first")
    failed = False
    for wheel in wheels:
        problems = check_wheel(wheel) if wheel.suffix == ".whl" else check_sdist(wheel)
        failed |= bool(problems)
        print(f"{wheel.name}: {wheel.stat().st_size:,} bytes: {'; '.join(problems) or 'good'}")
    return int(failed)


def check_wheel(wheel: pathlib.Path) -> list[str]:
    """Return the problems of a wheel; none if it is good."""
    problems = []
    size = wheel.stat().st_size
    if size >= MAXIMUM_BYTES:
        problems.append(f"Expected less than {MAXIMUM_BYTES} bytes. Received: {size}")
    distribution, version, python, abi, tags = wheel.name.removesuffix(".whl").split("-")
    if (distribution, python, abi) != ("kbnn_runtime", "py3", "none"):
        problems.append(f"Expected kbnn_runtime-...-py3-none. Received: {wheel.name}")
    expected = {_TAGS.get(tag, (tag, "unknown")) for tag in tags.split(".")}
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(f"{distribution}-{version}.dist-info/WHEEL").decode()
        inside = set(re.findall(r"^Tag: py3-none-(\S+)$", metadata, re.MULTILINE))
        if inside != set(tags.split(".")):
            problems.append(f"Expected the tags {tags} in WHEEL. Received: {sorted(inside)}")
        libraries = [name for name in names if pathlib.PurePath(name).suffix in _SUFFIXES]
        if len(libraries) != 1:
            return [*problems, f"Expected one library. Received: {libraries}"]
        suffix = pathlib.PurePath(libraries[0]).suffix
        library = read_shared_library(archive.read(libraries[0]))
    if expected != {(suffix, library.machine)}:
        problems.append(f"Expected {expected}. Received: {suffix} for {library.machine}")
    strangers = [
        name
        for name in names
        if not name.startswith(("kbnn_runtime/", f"{distribution}-{version}.dist-info/"))
    ]
    if strangers:
        problems.append(f"Expected only files of kbnn_runtime. Received: {strangers}")
    return problems + check_library(library)


def check_sdist(path: pathlib.Path) -> list[str]:
    """Return the problems of a source distribution; none if it is good."""
    with tarfile.open(path) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    problems = []
    missing = [name for name in SOURCES if name not in names]
    if missing:
        problems.append(f"Expected {missing}. Received: none of them")
    strangers = [name for name in names if not _SOURCE.fullmatch(name)]
    if strangers:
        problems.append(f"Expected only sources. Received: {strangers}")
    return problems


def check_library(library: SharedLibrary) -> list[str]:
    """Return the problems of a library for any platform."""
    problems = []
    exports = tuple(name for name in library.exports if name not in _LINKERS_OWN)
    if exports != ENTRY_POINTS:
        problems.append(f"Expected exports {ENTRY_POINTS}. Received: {exports}")
    foreign = [name for name in library.needs if not _SYSTEM.fullmatch(name)]
    if foreign:
        problems.append(f"Expected only system libraries. Received: {foreign}")
    newer = [
        version
        for version in library.versions
        if not version.startswith("GLIBC_") or _number(version) > _GLIBC
    ]
    if newer:
        problems.append(f"Expected symbols up to GLIBC_2.17. Received: {newer}")
    if library.executable_stack:
        problems.append("Expected no executable stack. Received: one")
    return problems


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


if __name__ == "__main__":
    sys.exit(main())
