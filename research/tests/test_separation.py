"""The separation of classes, against a formula and on networks that were trained short or long."""

import csv

import numpy as np
import pytest
from typer.testing import CliRunner

from kbnn.runs import train_run
from research import separation
from research.tests.small_run import small_config


def test_the_scatter_ratio_of_a_known_cloud():
    # Two classes at +-3, each +-1 around it: between 9, within 1.
    values = np.array([[-4.0], [-2.0], [2.0], [4.0]])
    assert separation.scatter_ratio(values, np.array([0, 0, 1, 1])) == pytest.approx(9.0)
    assert separation.scatter_ratio(values, np.array([0, 1, 0, 1])) == pytest.approx(1 / 9)


def test_the_probe_sees_what_is_linear(rng):
    values = rng.normal(size=(600, 2))
    linear = (values.sum(axis=1) > 0).astype(int)
    product = (values.prod(axis=1) > 0).astype(int)
    for labels, least, most in ((linear, 0.95, 1.0), (product, 0.3, 0.7)):
        train, test = (values[:400], labels[:400]), (values[400:], labels[400:])
        assert least <= separation.probe_accuracy(train, test) <= most


@pytest.mark.slow
def test_runs_are_measured_and_drawn(images, tmp_path):
    runs = [tmp_path / "small" / name / "seed_0" for name in ("short", "long")]
    for folder, epochs in zip(runs, (1, 6), strict=True):
        train_run(small_config(images, epochs=epochs), folder, test=False)
    arguments = ["--file", str(tmp_path / "table.csv"), "--picture", str(tmp_path / "a.png")]
    result = CliRunner().invoke(
        separation.app, [*map(str, runs), *arguments, "--shown", "40"], catch_exceptions=False
    )
    assert result.exit_code == 0
    with (tmp_path / "table.csv").open(newline="") as lines:
        short, long = csv.DictReader(lines)
    assert (short["run"], long["test_images"]) == ("small/short/seed_0", "40")
    assert float(long["scatter_ratio"]) > float(short["scatter_ratio"]) > 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
