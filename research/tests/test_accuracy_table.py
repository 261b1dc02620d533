import dataclasses
import json

import pytest

from research import accuracy_table
from research.accuracy_table import Row
from research.experiments.experiment import make_config

ROW = Row(
    experiment="some",
    mode="final",
    seed=0,
    epochs=3,
    validation_accuracy=0.8,
    keras_accuracy=0.79,
    device_accuracy=0.78,
    class_agreement=1.0,
    smooth_accuracy=None,
    smooth_agreement=None,
    file_bytes=1000,
    train_seconds=1.5,
    settings='{"data": {"dataset": "mnist", "image_size": [8, 8]}, "fit": {"epochs": 3}}',
    versions='{"numpy": "1"}',
    machine="a machine, 2 cores",
    commit="abc+",
    date="2026-01-02",
)


def row(**changes) -> Row:
    return dataclasses.replace(ROW, **changes)


def test_rows_read_back_as_they_were_written(tmp_path):
    file = tmp_path / "results" / "accuracy.csv"
    assert accuracy_table.read(file) == []
    screening = row(
        mode="screening",
        keras_accuracy=None,
        device_accuracy=None,
        class_agreement=None,
        file_bytes=None,
    )
    for one in (ROW, screening):
        accuracy_table.append(one, file)
    assert accuracy_table.read(file) == [ROW, screening]


def test_a_run_has_one_row(tmp_path):
    file = tmp_path / "accuracy.csv"
    accuracy_table.append(ROW, file)
    with pytest.raises(ValueError, match="Expected a run"):
        accuracy_table.append(row(device_accuracy=0.99), file)
    assert accuracy_table.read(file) == [ROW]


def test_other_columns_are_refused(tmp_path):
    file = tmp_path / "accuracy.csv"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"columns.*Received: \['a', 'b'\]"):
        accuracy_table.read(file)


def test_settings_are_compared_as_runs_whatever_defaults_have_come_since():
    same = {"dataset": "mnist", "epochs": 3, "image_size": (8, 8)}
    settings = make_config(**same).to_dict(places=False)
    settings["network"].pop("kernel_scale")
    before = row(settings=json.dumps(settings))
    assert accuracy_table.same_settings(before, make_config(**same))
    assert accuracy_table.same_settings(before, make_config(**same, normalization="batch"))
    for change in ({"epochs": 4}, {"normalization": "binary"}, {"kernel_scale": 2.0}):
        assert not accuracy_table.same_settings(before, make_config(**{**same, **change}))


def test_the_accuracy_that_counts():
    assert ROW.accuracy == 0.78
    assert row(device_accuracy=None).accuracy == 0.8


def test_spread():
    assert accuracy_table.spread([0.8]) == accuracy_table.Spread(1, 0.8, None)
    three = accuracy_table.spread([1.0, 2.0, 3.0])
    assert (three.runs, three.mean, three.deviation) == (3, 2.0, 1.0)


def test_differences_are_paired_by_seed():
    """Differences 1, 2, 3: t(0.975, 2) = 4.3027, standard error 1 / sqrt(3)."""
    rows = [row(seed=i, device_accuracy=10.0 * i + i) for i in (1, 2, 3, 9)]
    others = [row(seed=i, device_accuracy=10.0 * i) for i in (3, 1, 2, 7)]
    found = accuracy_table.paired_difference(rows, others)
    assert (found.runs, found.mean) == (3, 2.0)
    assert found.low == pytest.approx(2 - 4.302653 / 3**0.5, abs=1e-5)
    assert found.high == pytest.approx(2 + 4.302653 / 3**0.5, abs=1e-5)


def test_seeds_of_one_network_are_averaged_before_the_interval():
    """Two networks with the mean differences 2 and 5: t(0.975, 1) = 12.706, error 1.5."""
    rows = [row(seed=i, device_accuracy=value) for i, value in enumerate([1.0, 4.0, 3.0, 6.0])]
    others = [row(seed=i, device_accuracy=0.0) for i in range(4)]
    found = accuracy_table.paired_difference(rows, others, groups=2)
    assert (found.runs, found.mean) == (4, 3.5)
    assert found.high == pytest.approx(3.5 + 12.706205 * 1.5, abs=1e-4)
    assert accuracy_table.paired_difference(rows, others, groups=1).low is None


def test_one_common_seed_has_no_interval_and_none_no_difference():
    assert accuracy_table.paired_difference([ROW], [ROW]) == accuracy_table.Difference(
        1, 0.0, None, None
    )
    assert accuracy_table.paired_difference([ROW], [row(seed=1)]) is None
