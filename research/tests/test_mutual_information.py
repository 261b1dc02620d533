"""The measured bound, on activations with known information and on the networks of runs."""

import csv

import numpy as np
import pytest
from typer.testing import CliRunner

from kbnn.runs import train_run
from kbnn.techniques import Contrastive, MemoryBank
from research import mutual_information
from research.tests.small_run import small_config

BUDGET = {"steps": 300, "batch_size": 64, "temperature": 0.1, "embedding": 16}
MEASURED = {"batch_size": 64, "temperature": 0.1}


def activations(rng, count, kinds, features=32):
    """Return signs that identify the kind of a sample, and their real-valued sources with noise."""
    means = np.random.default_rng(7).choice([-1.0, 1.0], (kinds, features))
    kind = rng.integers(0, kinds, count)
    real = means[kind] + 0.01 * rng.normal(size=(count, features))
    return np.where(real >= 0, 1, -1).astype(np.int8), real.astype(np.float16)


@pytest.mark.parametrize("kinds", [1, 4, 16])
def test_the_bound_of_held_out_samples_comes_near_the_information(rng, kinds):
    train, test = activations(rng, 1000, kinds), activations(rng, 640, kinds)
    heads = mutual_information.train_heads(train, **BUDGET)
    found = mutual_information.bound(heads, test, **MEASURED)
    assert np.log(kinds) - 0.35 < found < np.log(kinds) + 0.05


def test_what_is_learned_by_heart_is_not_measured(rng):
    signs = rng.choice([-1, 1], (200, 64)).astype(np.int8)
    train = (signs, rng.normal(size=(200, 64)).astype(np.float16))
    test = (np.flip(signs, 0), rng.normal(size=(200, 64)).astype(np.float16))
    heads = mutual_information.train_heads(train, **{**BUDGET, "embedding": 64})
    assert mutual_information.bound(heads, train, **MEASURED) > 0.5
    assert mutual_information.bound(heads, test, **MEASURED) < 0.1


def test_codes_are_counted():
    assert (
        mutual_information.share_of_distinct_codes(np.int8([[1, 1], [1, -1], [1, 1], [-1, -1]]))
        == 0.75
    )


@pytest.mark.slow
@pytest.mark.parametrize("normalization", ["batch", "binary"])
def test_runs_are_measured(normalization, images, tmp_path):
    folder = tmp_path / "small" / "plain" / "seed_0"
    bank = (Contrastive(MemoryBank()),)
    network = {"normalization": normalization}
    config = small_config(images, epochs=1, techniques=bank, network=network)
    train_run(config, folder, test=False)
    arguments = [str(folder), "--file", str(tmp_path / "table.csv"), "--steps", "20"]
    result = CliRunner().invoke(mutual_information.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    with (tmp_path / "table.csv").open(newline="") as lines:
        (row,) = csv.DictReader(lines)
    assert row["layer"] == ("conv_3" if normalization == "batch" else "conv_2_bn")
    assert (row["run"], row["test_images"], row["steps"]) == ("small/plain/seed_0", "40", "20")
    assert float(row["bound"]) < np.log(40)
