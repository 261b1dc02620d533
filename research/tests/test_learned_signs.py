"""Learned signs against the signs of the latent weights, and the rates of wrong signs."""

import csv

import numpy as np
import pytest
import tf_keras as keras
from typer.testing import CliRunner

import kbnn
from kbnn.runs import train_run
from kbnn.techniques import NoisySupervision, Residual
from research import finished_runs, learned_signs
from research.tests.small_run import small_config


def train(images, folder, **settings):
    return train_run(small_config(images, epochs=2, **settings), folder, test=False)


def measure(command, folder, table, *options):
    arguments = [command, str(folder), "--file", str(table), *options]
    done = CliRunner().invoke(learned_signs.app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    with table.open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def learned_run(images, tmp_path_factory):
    """The folder and the result of a run whose mappings change signs."""
    folder = tmp_path_factory.mktemp("runs") / "small" / "learned" / "seed_0"
    result = train(images, folder, techniques=(NoisySupervision(start=Residual(1.0)),))
    return folder, result


@pytest.mark.slow
def test_signs_of_the_mappings_and_of_the_latent_weights(learned_run, tmp_path):
    folder, result = learned_run
    (row,) = measure("compare", folder, tmp_path / "table.csv", "--batches", "3")
    assert row["run"] == "small/learned/seed_0"
    layers = [kbnn.models.vgg_tiny(width=8).get_layer(f"conv_{i}") for i in (1, 2, 3)]
    sizes = {layer.name: layer.count_params() for layer in layers}
    logged = {name: result["last_epoch"][f"{name}/kernel_disagreement"] for name in sizes}
    expected = sum(logged[name] * size for name, size in sizes.items()) / sum(sizes.values())
    assert int(row["weights"]) == sum(sizes.values())
    assert float(row["decided"]) == pytest.approx(expected, abs=1e-4)
    assert expected > 0.001


@pytest.mark.slow
def test_each_accuracy_is_of_its_own_signs(learned_run, tmp_path, monkeypatch):
    folder, _ = learned_run
    layer = keras.models.load_model(folder / "model.keras").get_layer("conv_2")
    latent = layer.kernel.latent_variable.numpy() >= 0
    statistics = []

    def agreement(network, data):
        statistics.append(network.get_layer("stem_bn").moving_mean.numpy())
        kernel = network.get_layer("conv_2").kernel
        kernel = getattr(kernel, "latent_variable", kernel).numpy()
        return float(np.mean((kernel >= 0) == latent))

    monkeypatch.setattr(finished_runs, "accuracy", agreement)
    # One batch of several, so that another pass has other images.
    (row,) = measure("compare", folder, tmp_path / "table.csv", "--batches", "1")
    assert float(row["learned"]) < float(row["latent"]) == 1.0
    # The layer before all signs sees the same images in both.
    np.testing.assert_array_equal(*statistics)


@pytest.mark.slow
def test_mappings_that_decide_nothing_are_worth_nothing(images, tmp_path):
    folder = tmp_path / "runs" / "small" / "learned" / "seed_0"
    train(images, folder, techniques=(NoisySupervision(start=Residual(1e-9)),))
    (row,) = measure("compare", folder, tmp_path / "table.csv", "--batches", "3")
    assert (float(row["decided"]), row["learned"]) == (0.0, row["latent"])


def test_a_summary_has_the_mean_and_its_interval(tmp_path):
    table = tmp_path / "table.csv"
    rows = [
        *("run,decided,learned,latent", "small/one/seed_0,0.01,0.91,0.90"),
        *("small/one/seed_1,0.03,0.93,0.90", "small/other/seed_0,0.5,0.8,0.9"),
    ]
    table.write_text("\n".join(rows) + "\n")
    done = CliRunner().invoke(learned_signs.app, ["summary", str(table)], catch_exceptions=False)
    # Student's t of one degree of freedom is 12.706; the error of the mean is 1.
    assert done.stdout.splitlines() == [
        "small/one: 2 runs, 2.00 decided, worth +2.00 [-10.71, +14.71]",
        "small/other: 1 runs, 50.00 decided, worth -10.00",
    ]


@pytest.mark.slow
def test_the_rates_of_each_layer(images, tmp_path):
    folder = tmp_path / "runs" / "small" / "trained" / "seed_0"
    train(images, folder)
    options = ("--images", "20", "--samples", "5")
    rows = measure("rates", folder, tmp_path / "table.csv", *options)
    assert [row["kernel"] for row in rows] == ["conv_1/kernel", "conv_2/kernel", "conv_3/kernel"]
    for row in rows:
        assert (row["images"], row["tried"]) == ("20", "5")
        assert 0 <= float(row["low"]) <= float(row["rate"]) <= float(row["high"]) <= 1
