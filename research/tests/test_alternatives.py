"""A binary network beside an int8 network, from tables and files."""

import csv

import numpy as np
import pytest
from typer.testing import CliRunner

import kbnn
from research import alternatives, bench_table, benches
from research.tests.small_run import make_row

REAL = {"input_quantizer": None, "kernel_quantizer": None}


@pytest.fixture
def finished(tmp_path, rng):
    """The arguments of the command: a table with two seeds, and the files of seed 0."""
    table, runs = tmp_path / "bench.csv", tmp_path / "runs"
    images = rng.integers(0, 256, (64, 12, 12, 1), np.uint8)
    for arm, options in {"binary": {}, "int8": REAL}.items():
        for seed in (0, 1):
            accuracy = 0.5 + seed / 10
            bench_table.append(
                make_row(bench="some", arm=arm, seed=seed, device_accuracy=accuracy), table
            )
        folder = benches.run_folder(runs, "some", arm, 0)
        folder.mkdir(parents=True)
        model = kbnn.models.vgg_tiny(
            (12, 12, 1), width=8, preprocessing=kbnn.data.normalization_layer(), **options
        )
        calibration_data = images if options else None
        kbnn.converters.convert(model, folder / "model.tflite", calibration_data=calibration_data)
    return ["--table", table, "--runs", runs, "--file", tmp_path / "alternatives.csv"]


def invoke(finished, *arms):
    arguments = ["some", *arms, *finished, "--rounds", 3, "--inferences", 2]
    return CliRunner().invoke(alternatives.app, list(map(str, arguments)))


def test_rows_say_what_the_table_and_the_files_say(finished, tmp_path):
    result = invoke(finished, "binary", "int8")
    assert result.exit_code == 0, result.output
    with (tmp_path / "alternatives.csv").open(newline="") as lines:
        binary, int8 = csv.DictReader(lines)
    assert (binary["arm"], int8["arm"]) == ("binary", "int8")
    for row in (binary, int8):
        file = benches.run_folder(tmp_path / "runs", "some", row["arm"], 0) / "model.tflite"
        assert int(row["file_bytes"]) == file.stat().st_size
        assert float(row["accuracy"]) == pytest.approx(0.55)
        assert row["runs"] == "2"
        assert float(row["milliseconds"]) > 0
    assert float(binary["ratio"]) == 1


def test_an_arm_without_a_file_is_refused(finished, tmp_path):
    result = invoke(finished, "binary", "other")
    assert result.exit_code == 2
    assert "Received: other" in " ".join(result.stderr.replace("│", "").split())
    assert not (tmp_path / "alternatives.csv").exists()
