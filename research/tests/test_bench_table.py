"""results/bench.csv: rows are read back as they were written, each run has one."""

import concurrent.futures
import json

import pytest

from research import bench_table
from research.tests.small_run import ROW, make_row, small_config


def test_rows_read_back_as_they_were_written(tmp_path):
    file = tmp_path / "results" / "bench.csv"
    assert bench_table.read(file) == []
    tuning = make_row(
        arm="tuning",
        validation_accuracy_before=None,
        keras_accuracy=None,
        device_accuracy=None,
        class_agreement=None,
        file_bytes=None,
        settings='{"a": "with, a comma and \\"quotes\\""}',
    )
    for row in (ROW, tuning):
        bench_table.append(row, file)
    assert bench_table.read(file) == [ROW, tuning]


def test_the_columns_are_these():
    """Tables that other clones of the repository write have them too."""
    assert ",".join(bench_table._FIELDS) == (
        "bench,arm,seed,epochs,validation_accuracy,validation_accuracy_before,keras_accuracy,"
        "device_accuracy,class_agreement,file_bytes,cpu_seconds,train_seconds,settings,versions,"
        "machine,commit,date"
    )


def test_a_run_has_one_row(tmp_path):
    file = tmp_path / "bench.csv"
    bench_table.append(ROW, file)
    with pytest.raises(ValueError, match=r"Expected a run.*\('small', 'plain', 0\)"):
        bench_table.append(make_row(device_accuracy=0.99), file)
    for other in ({"seed": 1}, {"arm": "other"}, {"bench": "other"}):
        bench_table.append(make_row(**other), file)
    assert len(bench_table.read(file)) == 4


def test_rows_that_come_at_the_same_time_are_all_there(tmp_path):
    file = tmp_path / "new" / "bench.csv"
    rows = [make_row(seed=seed) for seed in range(40)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda row: bench_table.append(row, file), rows))
    assert sorted(bench_table.read(file), key=lambda row: row.seed) == rows


def test_other_columns_are_refused(tmp_path):
    file = tmp_path / "bench.csv"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"columns.*Received: \['a', 'b'\]"):
        bench_table.read(file)


def test_the_accuracy_that_counts():
    assert ROW.accuracy == 0.78
    assert make_row(device_accuracy=None).accuracy == 0.8


def test_settings_have_no_paths(images):
    content = bench_table.settings_json(small_config(images, epochs=3))
    assert str(images) not in content
    assert json.loads(content)["fit"]["epochs"] == 3
