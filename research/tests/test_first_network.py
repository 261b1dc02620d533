"""results/first_network/, which no code reads: what the documentation quotes can be looked up."""

import csv
import gzip
import json

import pytest

from research import provenance

FOLDER = provenance.ROOT / "results" / "first_network"
ANALYSES = {
    "learned_signs": ("run",),
    "mutual_information": ("run",),
    "noise_rates": ("run", "kernel"),
    "recalibration": ("run",),
    "separation": ("run",),
}


def read(name):
    with (FOLDER / name).open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def runs():
    """The runs of accuracy.csv, by experiment, mode and seed."""
    rows = read("accuracy.csv")
    found = {(row["experiment"], row["mode"], row["seed"]): row for row in rows}
    assert len(found) == len(rows)
    return found


def test_every_run_has_an_accuracy_and_its_settings(runs):
    for (_, mode, seed), row in runs.items():
        accuracy = row["device_accuracy" if mode == "final" else "validation_accuracy"]
        assert 0 < float(accuracy) <= 1
        settings = json.loads(row["settings"])
        assert (settings["seed"], settings["epochs"]) == (int(seed), int(row["epochs"]))


def test_every_log_belongs_to_a_run_and_has_all_its_epochs(runs):
    epochs = {}
    with gzip.open(FOLDER / "training_logs.csv.gz", "rt", newline="") as lines:
        for row in csv.DictReader(lines):
            float(row["value"])
            key = row["experiment"], row["mode"], row["seed"]
            epochs.setdefault(key, set()).add(int(row["epoch"]))
    expected = {key: set(range(1, int(runs[key]["epochs"]) + 1)) for key in epochs}
    assert epochs == expected


@pytest.mark.parametrize("table", ANALYSES)
def test_every_analysis_is_of_a_run_and_has_one_row(table, runs):
    rows = read(f"{table}.csv")
    keys = [tuple(row[name] for name in ANALYSES[table]) for row in rows]
    assert len(set(keys)) == len(keys) > 0
    for row in rows:
        mode, experiment, seed = row["run"].split("/")
        assert (experiment, mode, seed.removeprefix("seed_")) in runs
