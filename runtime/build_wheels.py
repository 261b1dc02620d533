"""Build the wheels of kbnn-runtime for all platforms and its source distribution on one machine.

    pip install -e ".[wheels]"      # or: build, ninja, scikit-build-core, wheel, ziglang
    python build_wheels.py [--out dist] [PLATFORM ...]

The cross compiler is Zig's C++ compiler, from PyPI. It includes the headers of every platform and
stubs of every glibc version, so a library can be linked against the glibc version in the wheel's
tag. `check_wheels.py` checks that library and tag agree.
"""

import argparse
import dataclasses
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Platform:
    """A platform to build for.

    Attributes:
        target: Zig's name of the platform. The number after gnu is the glibc version to link.
        tags: The wheel's platform tags.
        system: CMake's name of the system.
        processor: CMake's name of the processor.
        flags: Additional compiler flags.
    """

    target: str
    tags: tuple[str, ...]
    system: str
    processor: str
    flags: tuple[str, ...] = ()


PLATFORMS = {
    "linux-x86_64": Platform(
        "x86_64-linux-gnu.2.17",
        ("manylinux_2_17_x86_64", "manylinux2014_x86_64"),
        "Linux",
        "x86_64",
    ),
    "linux-aarch64": Platform(
        "aarch64-linux-gnu.2.17",
        ("manylinux_2_17_aarch64", "manylinux2014_aarch64"),
        "Linux",
        "aarch64",
    ),
    # Debian's armhf requires ARMv7-A with VFPv3-D16. NEON is detected at run time.
    "linux-armv7l": Platform(
        "arm-linux-gnueabihf.2.17",
        ("manylinux_2_17_armv7l", "manylinux2014_armv7l"),
        "Linux",
        "armv7l",
        ("-mcpu=generic+v7a+vfp3d16+thumb2",),
    ),
    "macos-arm64": Platform("aarch64-macos.11.0", ("macosx_11_0_arm64",), "Darwin", "arm64"),
    "windows-x86_64": Platform("x86_64-windows-gnu", ("win_amd64",), "Windows", "AMD64"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "platforms",
        nargs="*",
        metavar="PLATFORM",
        help=f"any of {', '.join(PLATFORMS)} and sdist (all)",
    )
    parser.add_argument(
        "--out", type=pathlib.Path, default=HERE / "dist", help="output folder (dist)"
    )
    arguments = parser.parse_args()
    wanted = arguments.platforms or [*PLATFORMS, "sdist"]
    unknown = sorted(set(wanted) - set(PLATFORMS) - {"sdist"})
    if unknown:
        parser.error(f"Expected some of {[*PLATFORMS, 'sdist']}. Received: {unknown}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        build = build_sdist if name == "sdist" else build_wheel
        print(build(name, arguments.out.resolve()), flush=True)


def build_sdist(name: str, out: pathlib.Path) -> pathlib.Path:
    """Build the source distribution into `out`."""
    with tempfile.TemporaryDirectory(prefix="kbnn-") as folder:
        _build("--sdist", pathlib.Path(folder))
        (made,) = pathlib.Path(folder).glob("*.tar.gz")
        return _move(made, out)


def build_wheel(name: str, out: pathlib.Path) -> pathlib.Path:
    """Build the wheel for one of `PLATFORMS` into `out`."""
    platform = PLATFORMS[name]
    with tempfile.TemporaryDirectory(prefix="kbnn-") as temporary:
        folder = pathlib.Path(temporary)
        toolchain = write_toolchain(platform, folder)
        _build(
            "--wheel",
            folder,
            f"--config-setting=build-dir={folder / 'build'}",
            f"--config-setting=cmake.args=-DCMAKE_TOOLCHAIN_FILE={toolchain};-GNinja",
        )
        (made,) = folder.glob("*.whl")
        # The build backend tags the wheel for this machine.
        tags = ".".join(platform.tags)
        subprocess.run(
            [sys.executable, "-m", "wheel", "tags", "--remove", f"--platform-tag={tags}", made],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (tagged,) = folder.glob("*.whl")
        return _move(tagged, out)


def write_toolchain(platform: Platform, folder: pathlib.Path) -> pathlib.Path:
    """Write a CMake toolchain file that compiles for `platform` with Zig."""
    # Before Zig links, it compiles its libraries, once for each optimization level. So CMake's
    # checks of the compiler get the level of the delegate. The C++ library takes a minute or more
    # for each platform; neither the checks nor the delegate need it.
    flags = " ".join(["-target", platform.target, "-O3", *platform.flags])
    # CMake expects a single executable, but Zig's compiler is a subcommand.
    tools = {
        "zig-c++": 'case " $* " in *" -c "*) ;; *) set -- -nostdlib++ "$@" ;; esac\n'
        f'exec "{sys.executable}" -m ziglang c++ {flags} "$@"',
        "zig-ar": f'exec "{sys.executable}" -m ziglang ar "$@"',
        "zig-ranlib": f'exec "{sys.executable}" -m ziglang ranlib "$@"',
    }
    for name, command in tools.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{command}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    toolchain = folder / "toolchain.cmake"
    toolchain.write_text(
        f"set(CMAKE_SYSTEM_NAME {platform.system})\n"
        f"set(CMAKE_SYSTEM_PROCESSOR {platform.processor})\n"
        f"set(CMAKE_CXX_COMPILER {folder / 'zig-c++'})\n"
        f"set(CMAKE_AR {folder / 'zig-ar'})\n"
        f"set(CMAKE_RANLIB {folder / 'zig-ranlib'})\n"
    )
    return toolchain


def _build(kind: str, out: pathlib.Path, *settings: str) -> None:
    # Without isolation, so that the extra `wheels` determines the tools for every wheel.
    command = [sys.executable, "-m", "build", kind, "--no-isolation", "--outdir", str(out)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", "0")}
    done = subprocess.run(
        [*command, *settings, str(HERE)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        sys.stderr.write(done.stdout)
        raise SystemExit(f"Building the {kind[2:]} failed with exit code {done.returncode}")


def _move(made: pathlib.Path, out: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(shutil.move(made, out / made.name))


if __name__ == "__main__":
    main()
