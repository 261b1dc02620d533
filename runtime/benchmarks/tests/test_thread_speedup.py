"""Speed-up by threads: the division of turns, wrong arguments, and one small run."""

import csv

import pytest
from typer.testing import CliRunner

from runtime.benchmarks import device_files, networks, thread_speedup
from runtime.benchmarks.engines import Times

COLUMNS = {"versions": "{}", "machine": "m", "instruction_set": "i", "commit": "c", "date": "d"}


def test_a_turn_on_one_thread_is_divided_by_that_of_the_same_round():
    pytest.importorskip("kbnn_runtime")
    times = {"1": Times([0.004, 0.008, 0.006], 9), "2": Times([0.002, 0.008, 0.002], 5)}
    row = thread_speedup._row("net", "float", 2, times, 0.5, COLUMNS)
    assert (row.milliseconds, row.speedup) == (2.0, 2.0)
    assert (row.speedup_lower_quartile, row.speedup_upper_quartile) == (1.5, 2.5)
    assert (row.kernels, row.threads, row.rounds, row.runs, row.load) == ("", 2, 3, 5, 0.5)
    one = thread_speedup._row("net", "kbnn-runtime-unfused", 1, times, 0.5, COLUMNS)
    assert (one.speedup, one.milliseconds, one.runs) == (1.0, 6.0, 9)
    assert one.kernels


def test_wrong_arguments_are_answered():
    result = CliRunner().invoke(thread_speedup.app, ["resnet19"])
    assert result.exit_code == 2
    assert "resnet18" in result.stderr
    assert CliRunner().invoke(thread_speedup.app, ["resnet18", "--threads", "1"]).exit_code == 2


@pytest.mark.slow
def test_a_run_writes_its_table(tmp_path, monkeypatch):
    pytest.importorskip("kbnn_runtime")
    monkeypatch.setattr(device_files, "CACHE", tmp_path / "cache")
    monkeypatch.setitem(
        networks.MODELS,
        "small",
        lambda binary: networks.layer(binary, size=8, channels=32, kernel=3, stride=2),
    )
    arguments = ["small", "--rounds", "2", "--threads", "2", "--threads", "3"]
    table = tmp_path / "threads.csv"
    result = CliRunner().invoke(thread_speedup.app, [*arguments, "--file", str(table)])
    assert result.exit_code == 0, result.output
    with table.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    engines = ["kbnn-runtime", "kbnn-runtime-unfused", "float", "int8"]
    assert [(row["engine"], row["threads"]) for row in rows] == [
        (engine, threads) for engine in engines for threads in "123"
    ]
    assert all(float(row["milliseconds"]) > 0 and float(row["speedup"]) > 0 for row in rows)
