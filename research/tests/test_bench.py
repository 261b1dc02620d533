"""The bench command: which runs it makes in which order, and what its summary shows."""

import dataclasses
import threading

import pytest
from typer.testing import CliRunner

from research import bench, bench_table, benches
from research.bench_statistics import Difference
from research.bench_summary import verdict
from research.tests.small_run import make_rows
from research.tests.test_benches import content

TOML = """
title = "a network on some images"
seeds = 2
baseline = "plain"
time_curve = ["plain", "longer"]
[data]
dataset = "folder"
batch_size = 32
[network]
width = 8
[fit]
epochs = 1
recalibration = 2
[arms.plain]
label = "plain signs"
[arms.longer]
label = "twice the epochs"
fit = { epochs = 2 }
[arms.float]
label = "real-valued"
network = { input_quantizer = "none", kernel_quantizer = "none" }
int8 = true
seeds = 1
[arms.wide]
label = "twice the channels"
network = { width = 16 }
seeds = 1
[arms.taught]
label = "with a teacher"
teacher = "float"
seeds = 1
[arms.tuned]
label = "tuned"
from = "plain"
tuning = true
seeds = 1
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "small.toml").write_text(TOML)
    return tmp_path / "small.toml"


def invoke(*arguments):
    return CliRunner().invoke(bench.app, [*map(str, arguments)])


def text_of(result):
    """Return an output without frames and line breaks."""
    return " ".join((result.output + result.stderr).replace("│", " ").replace("┃", " ").split())


def write_rows(tmp_path, accuracies, times=None):
    """Write rows of the bench in `file`, with the settings of their arms."""
    chosen = benches.load(str(tmp_path / "small.toml"))
    table = tmp_path / "bench.csv"
    for arm, values in accuracies.items():
        for row in make_rows(arm, values, cpu_seconds=(times or {}).get(arm, 100.0)):
            config = chosen.config(arm, row.seed, tmp_path)
            changes = {"epochs": config.fit.epochs, "settings": bench_table.settings_json(config)}
            bench_table.append(dataclasses.replace(row, **changes), table)
    return table


def test_needed_networks_come_first_and_a_seed_before_the_next():
    chosen = benches.parse("small", content())
    stages = list(bench._stages(chosen, ["tuned", "plain"], range(2)))
    assert stages == [
        *([("float", 0), ("plain", 0)], [("taught", 0)], [("tuned", 0)]),
        *([("float", 1), ("plain", 1)], [("taught", 1)], [("tuned", 1)]),
    ]
    # Without seeds, each arm has its own number of them.
    stages = list(bench._stages(chosen, ["plain", "longer"], None))
    assert stages == [[("plain", 0), ("longer", 0)], [("plain", 1), ("longer", 1)], [("plain", 2)]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "no_such"], "Received: no_such"),
        (["run", "SMALL", "pain"], "plain, longer, float, wide, taught, tuned. Received: pain"),
        (["run", "SMALL", "--seeds", "4-"], "--seeds N or M-N. Received: 4-"),
        (["run", "SMALL", "--seeds", "4-2"], "Received: 4-2"),
        (["one", "SMALL", "pain", "0"], "Received: pain"),
        (["one", "SMALL", "taught", "0"], "Expected the network of float with seed 0"),
        (["summary", "no_such"], "Received: no_such"),
    ],
)
def test_what_cannot_be_run_is_refused(file, tmp_path, arguments, message, monkeypatch):
    monkeypatch.setattr(bench, "_run_process", lambda *arguments: pytest.fail("a run"))
    arguments = [file if argument == "SMALL" else argument for argument in arguments]
    folders = [] if arguments[0] == "summary" else ["--runs", tmp_path / "runs"]
    result = invoke(*arguments, "--file", tmp_path / "bench.csv", *folders)
    assert result.exit_code == 2
    assert message in text_of(result)


def test_failed_runs_are_named_and_the_others_go_on(file, tmp_path, monkeypatch):
    made = []

    def run(name, key, options):
        made.append(key)
        return int(key[0] == "plain")

    monkeypatch.setattr(bench, "_run_process", run)
    result = invoke("run", file, "plain", "float", "--file", tmp_path / "bench.csv")
    assert result.exit_code == 1
    assert "Failed: plain seed 0, plain seed 1" in result.output
    assert made == [("plain", 0), ("float", 0), ("plain", 1)]


def test_a_run_waits_only_for_the_networks_that_it_needs(file, tmp_path, monkeypatch):
    """With two jobs, "taught" begins as soon as "float" ends, while "wide" is still running."""
    events, taught_has_begun = [], threading.Event()

    def run(name, key, options):
        events.append(f"{key[0]} begins")
        if key[0] == "wide":
            assert taught_has_begun.wait(10)
        if key[0] == "taught":
            taught_has_begun.set()
        events.append(f"{key[0]} ends")
        return 0

    monkeypatch.setattr(bench, "_run_process", run)
    places = ("--file", tmp_path / "bench.csv", "--jobs", 2, "--seeds", 0)
    assert invoke("run", file, "float", "wide", "taught", *places).exit_code == 0
    assert events.index("float ends") < events.index("taught begins")
    assert events.index("taught begins") < events.index("wide ends")


def test_runs_with_rows_are_left_out(file, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(bench, "_run_process", lambda name, key, options: made.append(key) or 0)
    table = write_rows(tmp_path, {"plain": [0.5]})
    assert invoke("run", file, "plain", "--file", table).exit_code == 0
    assert made == [("plain", 1)]


def test_rows_with_other_settings_are_refused(file, tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "_run_process", lambda *arguments: pytest.fail("a run"))
    table = write_rows(tmp_path, {"plain": [0.5]})
    file.write_text(TOML.replace("epochs = 1", "epochs = 3"))
    for command in ("run", "summary"):
        result = invoke(command, file, "--file", table)
        assert result.exit_code == 2
        assert "Received: fit.epochs 3 (its row: 1)" in text_of(result)


def test_the_summary_shows_effect_power_and_equal_time(file, tmp_path):
    """By hand: squares 2 + 2 + 2.75 over 7 degrees give 0.982 points; t is 2.365."""
    table = write_rows(
        tmp_path,
        {
            "plain": [0.49, 0.50, 0.51],
            "longer": [0.52, 0.53, 0.54],
            "float": [0.60, 0.61, 0.62, 0.60],
        },
        {"plain": 100.0, "longer": 200.0, "float": 141.42},
    )
    result = invoke("summary", file, "--file", table)
    assert result.exit_code == 0, result.output
    text = text_of(result)
    assert "a network on some images" in text
    words = text.replace("|", " ").split()
    assert " ".join(words[words.index("longer") :]).startswith(
        "longer 3 53.00 +- 1.00 +3.00 [+1.10, +4.90] 2."
    )
    assert "0.98 points, pooled over the arms (7 degrees of freedom)" in text
    # Plain training of 1.41 times the epochs has 51.5.
    assert "+10.75 [" in text
    assert "+9.25 [" in text
    assert "1.41" in text
    assert "Each interval is for one comparison" in text


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Difference(0.01, 0.002, 0.018, 0.01), "better by 0.20 to 1.80 points"),
        (Difference(-0.01, -0.018, -0.002, 0.01), "worse by 0.20 to 1.80 points"),
        (Difference(0.002, -0.001, 0.005, 0.01), "no effect above 0.50 points could be seen"),
        (Difference(-0.002, -0.005, 0.001, 0.01), "no effect above 0.50 points could be seen"),
        (Difference(0.1, None, None, None), "too few runs for an interval"),
    ],
)
def test_a_verdict_says_what_the_interval_bears(found, expected):
    assert verdict(found) == expected
