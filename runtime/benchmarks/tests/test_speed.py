"""The order of the turns, the rows of the tables, the converted files, and one small run."""

import csv
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from kbnn.converters import flatbuffer
from runtime.benchmarks import device_files, engines, measurements, networks, speed
from runtime.benchmarks.device_files import Macs
from runtime.benchmarks.engines import EngineWorker, Peak, Times

COLUMNS = {"versions": "{}", "machine": "m", "instruction_set": "i", "commit": "c", "date": "d"}


@pytest.fixture
def small(monkeypatch):
    """The name of a layer of 8x8x32 that is added to the networks."""
    monkeypatch.setitem(
        networks.MODELS,
        "small",
        lambda binary: networks.layer(binary, size=8, channels=32, kernel=3, stride=2),
    )
    return "small"


def test_engines_take_turns_of_as_many_runs_as_fill_their_time():
    order = []

    def turn(name, seconds):
        def run(count):
            order.append((name, count))
            return seconds

        return run

    times = engines.take_turns({"a": turn("a", 0.004), "b": turn("b", 1.0)}, rounds=2)
    assert order == 3 * [("a", 1)] + 3 * [("b", 1)] + 2 * [("a", 5), ("b", 1)]
    assert times == {"a": Times([0.004] * 2, 5), "b": Times([1.0] * 2, 1)}
    longer = engines.take_turns({"a": turn("a", 0.004)}, rounds=2, seconds=0.1)
    assert longer == {"a": Times([0.004] * 2, 25)}


def test_times_are_divided_by_the_turn_of_the_same_round():
    times = {
        "kbnn-runtime": Times([0.001, 0.002, 0.001], 10),
        "kbnn-runtime-avx2": Times([0.001, 0.002, 0.001], 10),
        "kbnn-runtime-unfused": Times([0.001, 0.002, 0.001], 10),
        "float": Times([0.002, 0.008, 0.006], 4),
    }
    files = dict.fromkeys(times, (Macs(7, 8), 9))
    table = measurements.timing_rows(
        "net", 2, times, files, kernels="avx512", load=0.5, provenance_columns=COLUMNS
    )
    own, avx2, unfused, real = table
    assert (own.ratio, own.kernels, own.milliseconds, own.runs) == (1.0, "avx512", 1.0, 10)
    assert (avx2.engine, avx2.kernels) == ("kbnn-runtime-avx2", "avx2")
    assert (unfused.engine, unfused.kernels) == ("kbnn-runtime-unfused", "avx512")
    assert (real.ratio, real.ratio_lower_quartile, real.ratio_upper_quartile) == (4.0, 3.0, 5.0)
    assert (real.kernels, real.threads, real.rounds, real.milliseconds) == ("", 2, 3, 6.0)
    assert (real.binary_macs, real.real_macs, real.file_bytes, real.load) == (7, 8, 9, 0.5)


def test_files_count_what_they_compute(small, tmp_path):
    files = device_files.files(small, tmp_path)
    contents = {kind: path.read_bytes() for kind, path in files.items()}
    macs = 4 * 4 * 32 * 3 * 3 * 32
    assert device_files.macs(contents["binary"]) == Macs(macs, 0)
    assert device_files.macs(contents["float"]) == Macs(0, macs)
    assert device_files.macs(contents["int8"]) == Macs(0, macs)
    assert flatbuffer.read(contents["int8"]).inputs[0].dtype == "int8"
    changed = {path: path.stat().st_mtime_ns for path in files.values()}
    again = device_files.files(small, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in again.values()} == changed


def test_operators_are_grouped_and_set_against_the_peak(small, tmp_path):
    content = device_files.files(small, tmp_path)["binary"].read_bytes()
    profile = {
        "operators": [
            {"type": "LceQuantize", "milliseconds": 1.0},
            {"type": "LceBconv2d", "milliseconds": 3.0},
        ],
        "model_milliseconds": 3.5,
    }
    peak = Peak(2e9, {"avx2": 1e9})
    binary, glue = measurements.operator_rows(
        small, content, profile, peak, kernels="avx2", provenance_columns=COLUMNS
    )
    assert (binary.group, binary.share, glue.group, glue.share) == ("binary", 0.75, "glue", 0.25)
    assert binary.gmacs_per_second == round(binary.macs / 3e-3 / 1e9, 2)
    assert binary.peak_share == round(binary.macs / 3e-3 / 1e9, 4)
    assert (binary.peak_bits_per_cycle, binary.clock_gigahertz) == (0.5, 2.0)
    assert (glue.macs, glue.peak_share) == (0, None)
    with pytest.raises(ValueError, match="other operators"):
        measurements.operator_rows(
            small,
            content,
            {**profile, "operators": profile["operators"][:1]},
            peak,
            kernels="avx2",
            provenance_columns=COLUMNS,
        )


@pytest.mark.parametrize(
    ("operator", "group"),
    [
        ("LceBconv2d", "binary"),
        ("LceQuantize", "glue"),
        ("ADD", "glue"),
        ("DEPTHWISE_CONV_2D", "real"),
    ],
)
def test_groups(operator, group):
    assert measurements.operator_group(operator) == group


def test_a_worker_reports_failures_and_lives_on(tmp_path):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    with EngineWorker() as worker:
        for _ in range(2):
            with pytest.raises(engines.EngineError, match="load"):
                worker.call("load", engine="float", file=str(broken), threads=1)


def test_the_peak_is_measured_for_each_kernel_set_that_runs_here(tmp_path):
    kbnn_runtime = pytest.importorskip("kbnn_runtime")
    peak = engines.peak(tmp_path)
    assert set(kbnn_runtime.available_kernels()) <= set(peak.macs)
    assert 1e8 < peak.clock < 1e10
    # No core counts more than 16,384 bits a cycle, and the slowest way counts one at least.
    assert all(1 < macs / peak.clock < 16384 for macs in peak.macs.values())


def run_python(program, preloaded):
    """Run a Python program with a preloaded library, and return what it prints."""
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "LD_PRELOAD": str(preloaded)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_allocations_are_counted_by_the_address_they_come_from(tmp_path):
    counter = engines.compile_tool("allocation_counter.cc", tmp_path, "-shared", "-fPIC")
    program = f"""
import ctypes
counter = ctypes.CDLL({str(counter)!r})
libc = ctypes.CDLL(None)
def counted(begin, end):
    counter.watch(ctypes.c_void_p(begin), ctypes.c_void_p(end))
    before = counter.all_allocations(), counter.own_allocations()
    libc.free.argtypes, libc.malloc.restype = [ctypes.c_void_p], ctypes.c_void_p
    for _ in range(100): libc.free(libc.malloc(64))
    return counter.all_allocations() - before[0], counter.own_allocations() - before[1]
print(*counted(0, 2**64 - 1), *counted(0, 0))
"""
    output = run_python(program, preloaded=counter)
    everywhere, own, again, nowhere = map(int, output.split())
    assert everywhere >= 100
    assert everywhere == own
    assert again >= 100
    assert nowhere == 0


def test_the_most_that_a_library_held_is_counted(tmp_path):
    source = """
#include <stdlib.h>
extern "C" int take_and_give() {
  void* volatile first = malloc(1000000);  // else the compiler leaves both out
  void* volatile second = calloc(1, 2000000);
  free(first);
  second = realloc(second, 500000);
  free(second);
  return 0;  // else the last call is a jump, which comes from elsewhere
}
"""
    (tmp_path / "library.cc").write_text(source)
    library = engines.compile_tool(str(tmp_path / "library.cc"), tmp_path, "-shared", "-fPIC")
    counter = engines.compile_tool("allocation_counter.cc", tmp_path, "-shared", "-fPIC")
    program = f"""
import ctypes, pathlib
counter, library = ctypes.CDLL({str(counter)!r}), ctypes.CDLL({str(library)!r})
counter.own_peak_bytes.restype = ctypes.c_int64
lines = pathlib.Path("/proc/self/maps").read_text().splitlines()
ends = [int(end, 16) for line in lines if {str(library)!r} in line
        for end in line.split()[0].split("-")]
counter.watch(ctypes.c_void_p(min(ends)), ctypes.c_void_p(max(ends)))
for _ in range(3): library.take_and_give()
print(counter.own_peak_bytes())
"""
    output = run_python(program, preloaded=counter)
    assert 3_000_000 <= int(output) < 3_010_000


def test_quicknet_halves_the_image_between_sections():
    binary, real = (
        networks.quicknet(choice, size=64, sections=((32, 2), (64, 1)), classes=5)
        for choice in (True, False)
    )
    assert binary.output_shape == real.output_shape == (None, 5)
    convolutions = [layer for layer in binary.layers if hasattr(layer, "kernel_quantizer")]
    assert [layer.output_shape[1:] for layer in convolutions] == 2 * [(16, 16, 32)] + [(8, 8, 64)]
    assert binary.count_params() == real.count_params()


def test_every_network_has_a_twin_of_the_same_shape():
    small = [name for name in networks.MODELS if name.startswith("layer-")]
    assert len(small) == 16
    for name in (*small, "resnet20"):
        binary, real = (networks.MODELS[name](choice) for choice in (True, False))
        assert binary.output_shape == real.output_shape


def test_unknown_names_are_refused():
    for arguments in (["run", "no-such"], ["convert", "no-such"]):
        result = CliRunner().invoke(speed.app, arguments)
        assert result.exit_code == 2
        assert "resnet18" in result.stderr
    result = CliRunner().invoke(speed.app, ["run", "resnet20", "--kernels", "no-such"])
    assert result.exit_code == 2
    assert "portable" in result.stderr


@pytest.mark.slow
def test_a_run_writes_its_tables(small, tmp_path, monkeypatch):
    pytest.importorskip("kbnn_runtime")
    monkeypatch.setattr(device_files, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(speed, "_MEMORY_MODEL", small)
    arguments = ["run", small, "--rounds", "2", "--threads", "1", "--kernels", "portable"]
    result = CliRunner().invoke(speed.app, [*arguments, "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    tables = {}
    for name in ("runtime", "runtime_operators", "runtime_memory"):
        with (tmp_path / f"{name}.csv").open(newline="") as lines:
            tables[name] = list(csv.DictReader(lines))
    timed = [row["engine"] for row in tables["runtime"]]
    assert timed == [*engines.ENGINES, "kbnn-runtime-portable"]
    assert all(float(row["milliseconds"]) > 0 for row in tables["runtime"])
    assert [row["group"] for row in tables["runtime_operators"]] == ["binary", "glue"]
    memory = {row["engine"]: row for row in tables["runtime_memory"]}
    assert int(memory["kbnn-runtime"]["invoke_bytes"]) >= int(memory["kbnn-runtime"]["load_bytes"])
    assert memory["kbnn-runtime"]["delegate_allocations"] == "0"
    filters, held = (
        int(memory["kbnn-runtime"][name]) for name in ("filter_bytes", "delegate_bytes")
    )
    assert 0 < filters < held < filters + 2**20
    assert memory["float"]["delegate_bytes"] == "0"
    # The array of the output at least: that the counter counts.
    assert int(memory["kbnn-runtime"]["allocations"]) > 0
