"""The cost of a step: rows are divided by their baseline, and every variant's step runs."""

import csv
import dataclasses
import math

import pytest
from typer.testing import CliRunner

import kbnn
from research import step_cost, tables
from research.step_timing import Turn
from research.step_variants import VARIANTS, Variant, with_baselines

TURNS = {
    "plain": [Turn(0.1, 0.1), Turn(0.1, 0.1), Turn(0.2, 0.1)],
    "new": [Turn(0.2, 0.2), Turn(0.3, 0.2), Turn(0.8, 0.2)],
}


def read(file):
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.setitem(VARIANTS, "plain", Variant(None))
    monkeypatch.setitem(VARIANTS, "new", Variant(None, "plain"))
    shapes = dict.fromkeys(TURNS, "8x8x1")
    peaks = {"plain": 1000, "new": 1500}
    return step_cost.rows(TURNS, peaks, shapes, group="few", steps=5, batch_size=4)


def test_rows_are_divided_by_their_baseline(rows):
    plain, new = rows
    assert (plain.baseline, plain.wall_ratio, plain.memory_ratio) == ("plain", 1.0, 1.0)
    assert (new.baseline, new.wall_ratio, new.memory_ratio) == ("plain", 3.0, 1.5)
    assert (new.wall_ratio_lower_quartile, new.wall_ratio_upper_quartile) == (2.5, 3.5)
    assert new.cpu_ratio == 2.0
    assert (new.wall_milliseconds, new.rounds, new.steps) == (300.0, 3, 5)


def test_a_run_replaces_the_rows_of_its_group(rows, tmp_path):
    file = tmp_path / "results" / "step_cost.csv"
    others = [dataclasses.replace(row, group="other") for row in rows]
    for table in (rows, others, rows[1:]):
        tables.update(table, file, by=["group"])
    row, *kept = read(file)
    assert (row["group"], row["variant"], row["wall_ratio"]) == ("few", "new", "3.0")
    assert row["image_shape"] == "8x8x1"
    assert row["commit"]
    assert "tensorflow" in row["versions"]
    assert [one["group"] for one in kept] == ["other", "other"]
    assert [one["variant"] for one in kept] == ["plain", "new"]


def test_each_group_of_the_table_is_one_run_with_its_baselines():
    table = read(step_cost.FILE)
    columns = [field.name for field in dataclasses.fields(step_cost.Row)]
    assert all(list(row) == columns for row in table)
    assert {row["variant"] for row in table} <= set(VARIANTS)
    groups = {row["group"] for row in table}
    assert step_cost.USUAL_GROUP in groups
    for group in groups:
        own = [row for row in table if row["group"] == group]
        assert with_baselines([row["variant"] for row in own]) == [row["variant"] for row in own]
        for column in ("rounds", "steps", "batch_size", "versions", "machine", "commit", "date"):
            assert len({row[column] for row in own}) == 1, (group, column)


def test_a_baseline_has_the_same_architecture_and_none_of_its_own():
    for name, variant in VARIANTS.items():
        if variant.baseline is not None:
            assert VARIANTS[variant.baseline].baseline is None
            assert name.split("-")[0] == variant.baseline.split("-")[0]


def test_baselines_come_along_in_the_order_of_the_table():
    found = with_baselines(["residual-reactnet", "chain-float"])
    assert found == ["chain-ste_sign", "chain-float", "residual-ste_sign", "residual-reactnet"]


def test_unknown_variants_are_refused():
    for command in ("run", "memory"):
        result = CliRunner().invoke(step_cost.app, [command, "no-such"])
        assert result.exit_code == 2
        assert "chain-ste_sign" in result.stderr


def small_resnet18(input_shape, **options):
    """ResNet-18 with one stage of one block."""
    return kbnn.models.resnet((1,), input_shape, width=8, **options)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_step_trains(name, monkeypatch):
    monkeypatch.setattr(kbnn.models, "resnet18", small_resnet18)
    model = VARIANTS[name].model()
    before = model.get_weights()
    loss = step_cost.training_step(model, batch_size=2)()
    assert math.isfinite(loss)
    assert any((old != new).any() for old, new in zip(before, model.get_weights(), strict=True))


@pytest.mark.slow
def test_a_run_of_some_variants_shows_them(tmp_path):
    file = tmp_path / "some.csv"
    small = ["--rounds", "2", "--steps", "1", "--batch-size", "2"]
    written = ["--group", "few", "--file", str(file)]
    result = CliRunner().invoke(step_cost.app, ["run", "chain-float", *written, *small])
    assert result.exit_code == 0, result.output
    assert "chain-float" in result.output
    table = read(file)
    assert [row["variant"] for row in table] == ["chain-ste_sign", "chain-float"]
    assert {row["group"] for row in table} == {"few"}
    assert all(int(row["peak_bytes"]) > 1_000_000 for row in table)
