"""The measurement of recalibration, on a run with smooth signs."""

import csv

import pytest
from typer.testing import CliRunner

from kbnn.runs import train_run
from kbnn.techniques import SelfBinarizing
from research import recalibration
from research.tests.small_run import small_config


@pytest.mark.slow
def test_a_run_is_measured_three_times(images, tmp_path):
    folder = tmp_path / "small" / "smooth" / "seed_0"
    smooth = (SelfBinarizing((1.0, 2.0), None, hard_from=1.0),)
    network = {"normalization": "batch"}
    fit = {"epochs": 3, "recalibration": 0}
    config = small_config(images, techniques=smooth, network=network, **fit)
    result = train_run(config, folder, test=False)
    table = tmp_path / "table.csv"
    arguments = [str(folder), "--file", str(table), "--batches", "3"]
    done = CliRunner().invoke(recalibration.app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    with table.open(newline="") as lines:
        (row,) = csv.DictReader(lines)
    assert row["run"] == "small/smooth/seed_0"
    assert float(row["signs"]) == pytest.approx(result["last_epoch"]["val_accuracy"], abs=1e-4)
    accuracies = {row[name] for name in ("smooth", "signs", "recalibrated")}
    assert len(accuracies) > 1
