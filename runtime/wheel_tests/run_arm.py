"""Run the ARM wheels under qemu's user emulation, and compare with the x86-64 wheel's results.

    python run_arm.py [--dist FOLDER] [--cache FOLDER] [aarch64] [armv7l]

Needs an x86-64 Linux with apt, but neither root nor ARM hardware. build_wheels.py must have built
all three Linux wheels from the same sources. The first run downloads a Debian with Python and
LiteRT for each architecture, about 100 MB, and qemu if it is not installed. They stay in the cache.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from arm_root import ARCHITECTURES, arm_root, install_wheels, run_python
from cases import RUNTIME, write_cases
from compare_results import compare

HERE = pathlib.Path(__file__).resolve().parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("architectures", nargs="*", metavar="ARCHITECTURE")
    parser.add_argument("--dist", type=pathlib.Path, default=RUNTIME / "dist")
    parser.add_argument(
        "--cache", type=pathlib.Path, default=pathlib.Path.home() / ".cache" / "kbnn-runtime"
    )
    given = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory(prefix="kbnn-") as temporary:
        folder = pathlib.Path(temporary)
        write_cases(folder / "cases")
        expected = run_here(wheel_for("x86_64", given.dist), folder)
        for name in given.architectures or ARCHITECTURES:
            received = run_there(name, wheel_for(name, given.dist), given.cache, folder)
            problems = compare(expected, received)
            failed |= bool(problems)
            about = json.loads((received / "platform.json").read_text())
            print(
                f"{name}: Python {about['python']}, {about['litert']}, NumPy {about['numpy']}, "
                f"kernels {', '.join(about['kernels'])}: {'; '.join(problems) or 'as on x86-64'}"
            )
    return int(failed)


def wheel_for(machine: str, dist: pathlib.Path) -> pathlib.Path:
    """Return the newest Linux wheel for a machine."""
    wheels = sorted(dist.glob(f"*manylinux*_{machine}.whl"), key=lambda path: path.stat().st_mtime)
    if not wheels:
        raise SystemExit(
            f"Expected a Linux wheel for {machine} in {dist}. "
            f"Run python build_wheels.py linux-{machine} first"
        )
    return wheels[-1]


def run_here(wheel: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Run the cases with the x86-64 wheel in this Python, and return the folder of results."""
    installed, results = folder / "installed-here", folder / "results-here"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, f"--target={installed}", str(wheel)], check=True)
    # The wheel shadows a kbnn-runtime that is installed in this Python. LiteRT is this Python's.
    program = (
        f"import sys, runpy; sys.path.insert(0, {str(installed)!r}); "
        f"sys.argv = ['run_cases.py', {str(folder / 'cases')!r}, {str(results)!r}]; "
        f"runpy.run_path({str(HERE / 'run_cases.py')!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    _check_run(done, results, installed)
    return results


def run_there(
    name: str, wheel: pathlib.Path, cache: pathlib.Path, folder: pathlib.Path
) -> pathlib.Path:
    """Run the cases with an ARM wheel in an emulated Python, and return the folder of results."""
    root = arm_root(name, cache)
    installed, results = folder / f"installed-{name}", folder / f"results-{name}"
    install_wheels([str(wheel)], ARCHITECTURES[name], installed, dependencies=False)
    arguments = [str(HERE / "run_cases.py"), str(folder / "cases"), str(results)]
    _check_run(run_python(name, root, [installed], arguments), results, installed)
    return results


def _check_run(
    done: subprocess.CompletedProcess[str], results: pathlib.Path, installed: pathlib.Path
) -> None:
    if done.returncode:
        raise SystemExit(
            f"Running the cases failed with exit code {done.returncode}: {done.stderr[-3000:]}"
        )
    library = json.loads((results / "platform.json").read_text())["library"]
    if not pathlib.Path(library).is_relative_to(installed):
        raise SystemExit(f"Expected the wheel's library to run. Received: {library}")


if __name__ == "__main__":
    sys.exit(main())
