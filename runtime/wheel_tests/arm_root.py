"""Make a folder with another architecture's Debian, Python and LiteRT, for qemu's user emulation.

The packages come from the Debian for which apt is configured on this machine, the wheels from PyPI.
Root is not needed: apt keeps its state in a separate folder, and packages are unpacked instead of
installed.
"""

import dataclasses
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable

PYTHON = "3.11"


@dataclasses.dataclass(frozen=True)
class Architecture:
    """An architecture to test on.

    Attributes:
        debian: Debian's name of the architecture.
        qemu: The emulator.
        platforms: The platform tags of its wheels.
        wheels: The packages from PyPI.
        debian_packages: The packages from Debian besides Python.
        cpuinfo: The content of /proc/cpuinfo on a Raspberry Pi of this architecture.
    """

    debian: str
    qemu: str
    platforms: tuple[str, ...]
    wheels: tuple[str, ...]
    debian_packages: tuple[str, ...]
    cpuinfo: str


# A Raspberry Pi 4 has four Cortex-A72.
_CPUINFO = """\
processor\t: 0
BogoMIPS\t: 108.00
Features\t: {features}
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""

ARCHITECTURES = {
    "aarch64": Architecture(
        debian="arm64",
        qemu="qemu-aarch64-static",
        platforms=("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64"),
        wheels=("ai-edge-litert>=2.3", "numpy>=2"),
        debian_packages=(),
        cpuinfo=_CPUINFO.format(features="fp asimd evtstrm crc32 cpuid"),
    ),
    # PyPI has no NumPy wheel for it. tflite-runtime needs NumPy 1, which is Debian's version.
    "armv7l": Architecture(
        debian="armhf",
        qemu="qemu-arm-static",
        platforms=("manylinux_2_34_armv7l", "manylinux2014_armv7l"),
        wheels=("tflite-runtime==2.14.*",),
        debian_packages=("python3-numpy",),
        cpuinfo=_CPUINFO.format(features="half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 crc32"),
    ),
}


def arm_root(name: str, cache: pathlib.Path) -> pathlib.Path:
    """Return the folder of an architecture's Debian, and make it if the cache does not have it.

    Args:
        name: One of `ARCHITECTURES`.
        cache: The folder that holds it. It is made again when its recipe changes.

    Raises:
        FileNotFoundError: A required program is not installed.
        RuntimeError: apt, dpkg-deb or pip failed. The message ends with its output.
    """
    architecture = ARCHITECTURES[name]
    _check_programs("apt-get", "dpkg-deb")
    recipe = f"{architecture} {PYTHON}".encode()
    root = cache / f"{name}-{hashlib.sha256(recipe).hexdigest()[:12]}"
    return _make_folder(root, lambda unfinished: _make(architecture, unfinished, cache))


def emulator(name: str, cache: pathlib.Path) -> pathlib.Path:
    """Return qemu's program for an architecture, and unpack Debian's if none is installed.

    Args:
        name: One of `ARCHITECTURES`.
        cache: The folder into which the package is unpacked.

    Raises:
        FileNotFoundError, RuntimeError: As for `arm_root`.
    """
    program = ARCHITECTURES[name].qemu
    installed = shutil.which(program)
    if installed is not None:
        return pathlib.Path(installed)
    _check_programs("apt-get", "dpkg-deb", "dpkg")
    own = _run(["dpkg", "--print-architecture"]).strip()
    state = cache / f"apt-{own}"
    found = _make_folder(
        cache / f"qemu-{own}",
        lambda folder: _unpack_debian(own, ["qemu-user-static"], folder, state),
    )
    return found / "usr" / "bin" / program


def run_python(
    name: str,
    root: pathlib.Path,
    path: list[pathlib.Path],
    arguments: list[str],
    *,
    emulated_by: list[str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the Python of `arm_root`.

    Args:
        name: One of `ARCHITECTURES`.
        root: Its folder.
        path: Additional folders to import from.
        arguments: The arguments of Python.
        emulated_by: qemu's program and options; by default `emulator` without options.
    """
    python = root / "usr" / "bin" / f"python{PYTHON}"
    command = [*(emulated_by or [emulator(name, root.parent)]), "-L", root, python]
    folders = [*path, root / "opt" / "wheels", root / "usr" / "lib" / "python3" / "dist-packages"]
    # dpkg would link these libraries to where NumPy finds them, but packages are only unpacked.
    algebra = [found for kind in ("blas", "lapack") for found in root.glob(f"usr/lib/*/{kind}")]
    environment = {
        "PATH": os.environ["PATH"],
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, algebra)),
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
    }
    return subprocess.run(
        [*map(str, command), *arguments], env=environment, capture_output=True, text=True
    )


def _make_folder(folder: pathlib.Path, make: Callable[[pathlib.Path], None]) -> pathlib.Path:
    """Return the folder, or make it under another name and rename it when it is complete."""
    if folder.is_dir():
        return folder
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir(parents=True)
        make(unfinished)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _check_programs(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            raise FileNotFoundError(
                f"Expected {program}, which Debian and its derivatives have, to be installed"
            )


def _make(architecture: Architecture, root: pathlib.Path, cache: pathlib.Path) -> None:
    packages = [f"python{PYTHON}", "libstdc++6", "zlib1g", *architecture.debian_packages]
    _unpack_debian(architecture.debian, packages, root, cache / f"apt-{architecture.debian}")
    install_wheels([*architecture.wheels], architecture, root / "opt" / "wheels")
    # LiteRT reads it. Without it, emulated programs see the host's, which crashes LiteRT.
    (root / "proc").mkdir(exist_ok=True)
    cores = [architecture.cpuinfo.replace("processor\t: 0", f"processor\t: {i}") for i in range(4)]
    (root / "proc" / "cpuinfo").write_text("".join(cores))


def _unpack_debian(
    architecture: str, wanted: list[str], root: pathlib.Path, state: pathlib.Path
) -> None:
    """Unpack packages and all their dependencies into a folder."""
    apt = _apt_command(architecture, state)
    try:
        _run([*apt, "update"])
    except RuntimeError as error:
        # One of several package lists may be unavailable; the steps below show whether it matters.
        print(error, file=sys.stderr)
    # The state lists no installed packages, so the plan contains all dependencies.
    plan = _run([*apt, "install", "--simulate", "--no-install-recommends", *wanted])
    packages = re.findall(r"^Inst (\S+) \((\S+) ", plan, re.MULTILINE)
    archives = state / "archives"
    archives.mkdir(exist_ok=True)
    named = [f"{package.partition(':')[0]}={version}" for package, version in packages]
    # apt verifies downloads against the signed lists.
    _run([*apt, "download", *named], cwd=archives)
    for package, version in packages:
        package = package.partition(":")[0]
        # apt writes the colon of a version as %3a.
        (archive,) = archives.glob(f"{package}_{version.replace(':', '%3a')}_*.deb")
        _run(["dpkg-deb", "-x", str(archive), str(root)])


def _apt_command(architecture: str, state: pathlib.Path) -> list[str]:
    """Return the apt-get command for one architecture, with its state in a separate folder."""
    for folder in ("lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    options = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "",
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::State::lists": state / "lists",
        "Dir::Cache": state / "cache",
        "Debug::NoLocking": "1",
    }
    return ["apt-get", "--quiet", *(f"-o{name}={value}" for name, value in options.items())]


def install_wheels(
    wheels: list[str],
    architecture: Architecture,
    folder: pathlib.Path,
    *,
    dependencies: bool = True,
) -> None:
    """Install wheels of another architecture into a folder."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary=:all:"]
    # If Debian has NumPy, pip must not install it as a dependency.
    if not dependencies or architecture.debian_packages:
        command.append("--no-deps")
    command += [f"--platform={platform}" for platform in architecture.platforms]
    command += [f"--python-version={PYTHON}", "--implementation=cp", "--upgrade"]
    _run([*command, f"--target={folder}", *wheels])


def _run(command: list[str], cwd: pathlib.Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(command[:2])} failed with exit code {done.returncode}: "
            f"{done.stdout[-1000:]}{done.stderr[-2000:]}"
        )
    return done.stdout
