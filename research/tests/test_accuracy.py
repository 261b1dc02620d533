"""The runner: screening never reads the test images, final ships, nothing is done twice."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from typer.testing import CliRunner

import kbnn
from kbnn.techniques import SelfBinarizing
from research import accuracy, accuracy_table, experiments, provenance, training_logs
from research.experiments.experiment import make_config
from research.experiments.run_config import settings_without_paths

# Training changes the state of its process permanently, so it runs in another one.
_RUN = """
import sys
from research import accuracy, experiments
from research.experiments.experiment import make_config
data, folder = sys.argv[1:]
settings = dict(dataset="folder", width=8, batch_size=32, epochs=3)
experiments.EXPERIMENTS["small"] = experiments.Experiment(make_config(**settings))
places = ["--data-dir", data, "--file", folder + "/accuracy.csv", "--runs", folder + "/runs"]
for mode, seeds in (("screening", "1"), ("final", "2"), ("final", "2")):
    arguments = ["run", "small", "--mode", mode, "--seeds", seeds, *places]
    accuracy.app(arguments, standalone_mode=False)
    print("finished", mode)
"""


def row(experiment: str, seed: int, accuracy: float, settings: str = "{}") -> accuracy_table.Row:
    return accuracy_table.Row(
        *(experiment, "final", seed, 3, 0.8, accuracy, accuracy, 1.0, None, None, 1000, 1.0),
        *(settings, "{}", "", "", ""),
    )


@pytest.fixture
def summarize(tmp_path):
    def summarize(accuracies: dict[str, list[float]]) -> str:
        """The summary of experiments whose seeds have these accuracies."""
        for name, values in accuracies.items():
            for seed, value in enumerate(values):
                accuracy_table.append(row(name, seed, value), tmp_path / "accuracy.csv")
        arguments = ["summary", "--file", str(tmp_path / "accuracy.csv")]
        result = CliRunner().invoke(accuracy.app, arguments)
        assert result.exit_code == 0, result.output
        return result.output

    return summarize


@pytest.mark.slow
def test_screening_then_final(images, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _RUN, str(images), str(tmp_path)],
        cwd=provenance.ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    rows = accuracy_table.read(tmp_path / "accuracy.csv")
    assert [row.key for row in rows] == [
        ("small", "screening", 0),
        ("small", "final", 0),
        ("small", "final", 1),
    ]
    # What has its row is neither repeated nor taken for another run.
    lines = [line for line in done.stdout.splitlines() if line.startswith(("small", "finished"))]
    assert [line.split(":")[0] for line in lines] == [
        *("small screening seed 0", "finished screening"),
        *("small final seed 0", "small final seed 1", "finished final", "finished final"),
    ]
    first, second, third = rows
    assert (first.epochs, second.epochs) == (1, 3)
    assert first.device_accuracy is None
    assert first.keras_accuracy is None
    assert second.device_accuracy == second.keras_accuracy > 0.4
    assert second.class_agreement == 1.0
    assert second.smooth_accuracy is None
    logs = training_logs.read(tmp_path / "training_logs.csv.gz")
    assert {key: len(log) for key, log in logs.items()} == {row.key: row.epochs for row in rows}
    assert float(logs[third.key][-1]["val_accuracy"]) == third.validation_accuracy
    losses = {
        json.loads((folder / "result.json").read_text())["last_epoch"]["val_loss"]
        for folder in (tmp_path / "runs" / "final" / "small").iterdir()
    }
    assert len(losses) == 2  # each seed trains another network
    assert third.device_accuracy > 0.4
    assert "directory" not in json.loads(second.settings)["data"]
    result = json.loads((tmp_path / "runs/screening/small/seed_0/result.json").read_text())
    assert "test_accuracy" not in result
    assert (tmp_path / "runs/final/small/seed_1/model.tflite").is_file()


def test_other_settings_than_the_rows_are_refused(tmp_path, monkeypatch):
    config = make_config(dataset="fashion_mnist_sample", epochs=3)
    monkeypatch.setitem(experiments.EXPERIMENTS, "small", experiments.Experiment(config))
    settings = settings_without_paths(config)
    settings["fit"]["learning_rate"] = 0.1
    accuracy_table.append(row("small", 0, 0.8, json.dumps(settings)), tmp_path / "accuracy.csv")
    result = CliRunner().invoke(
        accuracy.app,
        ["run", "small", "--mode", "final", "--file", str(tmp_path / "accuracy.csv")],
    )
    assert result.exit_code == 2
    assert "Expected small with the settings of its row" in " ".join(result.stderr.split())


def test_the_smooth_network_is_compared_with_its_signs(rng):
    images, labels = rng.normal(size=(40, 28, 28, 1)).astype("f"), rng.integers(0, 10, 40)
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(20)
    signs = {"kernel_quantizer": "smooth_sign", "input_quantizer": "smooth_sign"}
    config = make_config(dataset="fashion_mnist_sample", techniques=(SelfBinarizing(),))
    model = kbnn.models.vgg_tiny(width=8, **signs)
    kbnn.recalibrate_batch_norm(model, images)
    agreement = []
    for sharpness in (1.0, 1e6):
        for module in model.submodules:
            if isinstance(module, kbnn.quantizers.SmoothSign):
                module.sharpness.assign(sharpness)
        found = accuracy._compare_smooth_network(model, config, data)
        logits = kbnn.techniques.smooth_network(model)(images, training=False).numpy()
        expected = np.mean(logits.argmax(axis=-1) == labels)
        assert found["smooth_accuracy"] == pytest.approx(expected)
        agreement.append(found["smooth_agreement"])
    assert agreement[0] < agreement[1] == 1.0
    plain = make_config(dataset="fashion_mnist_sample")
    assert accuracy._compare_smooth_network(model, plain, data) == {}


def test_unknown_experiments_are_refused():
    for name in ("no-such", *experiments.RETIRED):
        result = CliRunner().invoke(accuracy.app, ["run", name])
        assert result.exit_code == 2
        assert "fashion-ste_sign" in result.stderr


def test_the_summary_compares_at_equal_epochs_and_at_equal_time(summarize):
    output = summarize(
        {
            "fashion-latent-real": [0.92, 0.92],
            "fashion-pretrained": [0.90, 0.91],
            "fashion-ste_sign-e24": [0.91, 0.92],
        }
    )
    assert "+1.50 [" in output
    assert "+0.50 [" in output


def test_the_summary_of_a_fine_tuning_has_the_interval_of_its_networks_too(summarize):
    gains = [0.01 * (seed % 3) for seed in range(6)]
    output = summarize(
        {
            "fashion-tuned": [0.9] * 6,
            "fashion-tuned-mapping": [0.9 + gain for gain in gains],
        }
    )
    assert "fashion-tuned, by network" in output
    assert "+1.00 [-1.48, +3.48]" in output


def test_the_summary_shows_spread_and_difference(summarize):
    output = summarize({"fashion-float": [0.92, 0.93, 0.94], "fashion-ste_sign": [0.90] * 3})
    assert "93.00 +- 1.00" in output
    assert "+3.00 [+0.52, +5.48]" in output


def test_the_summary_shows_experiments_that_nobody_can_run(summarize):
    name = experiments.RETIRED[0]
    assert "91.00" in summarize({name: [0.91]})
