"""A bench from training to table, in the processes that the command starts."""

import json
import signal
import subprocess
import sys
import time

import pytest

from kbnn.runs.folder import RunFolder
from research import bench_table, benches, provenance, training_logs
from research.tests.test_bench import TOML

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def small(tmp_path_factory, images):
    """The folder of a bench, and the arguments of the command for it."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "small.toml").write_text(TOML)
    places = ["--file", folder / "new" / "bench.csv", "--runs", folder / "runs"]
    return folder, [folder / "small.toml"], [*places, "--data-dir", images]


def start(command, small, *arguments):
    _, name, places = small
    words = [sys.executable, "-m", "research.bench", command, *name, *arguments, *places]
    return subprocess.Popen(
        [*map(str, words)],
        cwd=provenance.ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def run(small, *arguments):
    process = start("run", small, *arguments)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return output


def read(small):
    return {row.key[1:]: row for row in bench_table.read(small[0] / "new" / "bench.csv")}


def test_arms_are_trained_converted_and_measured(small):
    folder, _, _ = small
    output = run(small, "plain", "taught", "tuned", "--jobs", "2")
    rows = read(small)
    keys = [("plain", 0), ("plain", 1), ("float", 0), ("taught", 0), ("tuned", 0)]
    assert sorted(rows) == sorted(keys)
    for (arm, seed), row in rows.items():
        assert (row.bench, row.epochs, row.seed) == ("small", 1, seed)
        assert f"small {arm} seed {seed}: {row.accuracy:.4f}" in output
        path = benches.run_folder(folder / "runs", "small", arm, seed)
        result = RunFolder(path).result()
        assert "test_accuracy" not in result
        assert row.validation_accuracy == result["validation_accuracy"]
        assert row.validation_accuracy_before == result["validation_accuracy_before_recalibration"]
        assert row.cpu_seconds == float((path / "cpu_seconds.txt").read_text()) > 0
        assert row.train_seconds == result["seconds"]
        assert ", 1 threads" in row.machine
        settings = json.loads(row.settings)
        assert "directory" not in settings["data"]
        assert (settings["fit"]["seed"], settings["data"]["split_seed"]) == (seed, seed)
        assert (path / "model.tflite").exists() == (arm != "tuned")
    tuned, taught = rows["tuned", 0], rows["taught", 0]
    assert tuned.keras_accuracy is tuned.device_accuracy is tuned.file_bytes is None
    assert taught.device_accuracy == taught.keras_accuracy
    assert taught.class_agreement == 1.0
    # In float32 the weights alone would take four bytes each.
    real = RunFolder(benches.run_folder(folder / "runs", "small", "float", 0)).result()
    assert rows["float", 0].file_bytes < 4 * real["parameters"]
    assert rows["float", 0].class_agreement > 0.9
    assert taught.file_bytes == (folder / "runs/small/taught/seed_0/model.tflite").stat().st_size
    # The right networks taught and began these runs.
    networks = {
        arm: RunFolder(benches.run_folder(folder / "runs", "small", arm, 0)).config()
        for arm in ("taught", "tuned")
    }
    assert networks["taught"].techniques[0].teacher.directory.endswith("small/float/seed_0")
    assert networks["tuned"].network.pretrained.directory.endswith("small/plain/seed_0")
    logs = training_logs.read(folder / "new" / "training_logs.csv.gz")
    assert {key[1:]: len(log) for key, log in logs.items()} == dict.fromkeys(keys, 1)
    # Once more: nothing is trained.
    before = (folder / "new" / "bench.csv").read_bytes()
    assert run(small, "plain", "taught", "tuned") == ""
    assert (folder / "new" / "bench.csv").read_bytes() == before


def test_a_run_that_was_killed_goes_on(small):
    folder, _, _ = small
    path = benches.run_folder(folder / "runs", "small", "longer", 5)
    process = start("one", small, "longer", 5)
    until = time.monotonic() + 300
    while not (path / "cpu_seconds.csv").exists() and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert ("longer", 5) not in read(small)
    first = (path / "cpu_seconds.csv").read_text().splitlines()
    assert first[0] == "epoch,seconds"
    run(small, "longer", "--seeds", "5")
    row = read(small)["longer", 5]
    assert row.epochs == 2
    second = (path / "cpu_seconds.csv").read_text().splitlines()
    assert second[1] == first[1]
    assert len(second) == 3
    total = sum(float(line.split(",")[1]) for line in second[1:])
    assert row.cpu_seconds == pytest.approx(total, abs=0.1)
