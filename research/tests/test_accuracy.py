"""The runner: screening keeps off the test images, final ships, nothing is done twice."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import typer
from typer.testing import CliRunner

import kbnn
from kbnn.cli import RunConfig
from research import accuracy, accuracy_table, experiments, provenance, training_logs

ROOT = provenance.ROOT

# Training changes the state of its process for good, so it happens in one of its own.
_RUN = """
import sys
from research import accuracy, experiments
from kbnn.cli import RunConfig
data = sys.argv.pop(1)
settings = dict(data="folder", width=8, batch_size=32, epochs=3)
sys.argv += ["--data-dir", data]
experiments.EXPERIMENTS["small"] = RunConfig(**settings)
accuracy.app()
"""


@pytest.fixture
def run(images, tmp_path):
    def run(*arguments):
        command = [sys.executable, "-c", _RUN, str(images), "run"]
        table = ("--file", str(tmp_path / "accuracy.csv"), "--runs", str(tmp_path / "runs"))
        return subprocess.run(
            [*command, *arguments, *table], capture_output=True, text=True, timeout=300, cwd=ROOT
        )

    return run


@pytest.mark.slow
def test_screening_then_final(run, tmp_path):
    screening = run("small", "--mode", "screening")
    assert screening.returncode == 0, screening.stderr
    final = run("small", "--mode", "final", "--seeds", "2")
    assert final.returncode == 0, final.stderr
    rows = accuracy_table.read(tmp_path / "accuracy.csv")
    assert [row.key for row in rows] == [
        ("small", "screening", 0),
        ("small", "final", 0),
        ("small", "final", 1),
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
    assert len(losses) == 2  # each seed trains a network of its own
    assert third.device_accuracy > 0.4
    assert "data_dir" not in json.loads(second.settings)
    result = json.loads((tmp_path / "runs/screening/small/seed_0/result.json").read_text())
    assert "test_accuracy" not in result
    assert (tmp_path / "runs/final/small/seed_1/model.tflite").is_file()
    # Neither repeated nor taken for another run.
    again = run("small", "--mode", "final", "--seeds", "2")
    assert (again.returncode, again.stdout) == (0, "")
    assert accuracy_table.read(tmp_path / "accuracy.csv") == rows


def test_other_settings_than_the_rows_are_refused(tmp_path, monkeypatch):
    config = RunConfig(data="fashion_mnist_sample", epochs=3)
    monkeypatch.setitem(experiments.EXPERIMENTS, "small", config)
    row = accuracy_table.Row(
        *("small", "final", 0, 3, 0.8, 0.8, 0.8, 1.0, None, None, 1000, 1.0),
        *(json.dumps({**accuracy.portable(config), "learning_rate": 0.1}), "{}", "", "", ""),
    )
    accuracy_table.append(row, tmp_path / "accuracy.csv")
    result = CliRunner().invoke(
        accuracy.app,
        ["run", "small", "--mode", "final", "--file", str(tmp_path / "accuracy.csv")],
    )
    assert result.exit_code == 2
    assert "Expected small with the settings of its row" in " ".join(result.stderr.split())


def test_the_smooth_network_is_compared_with_its_signs(rng):
    images, labels = rng.normal(size=(40, 28, 28, 1)).astype("f"), rng.integers(0, 10, 40)
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(16)
    signs = {"kernel_quantizer": "smooth_sign", "input_quantizer": "smooth_sign"}
    config = RunConfig(data="fashion_mnist_sample", **signs)
    model = kbnn.models.vgg_tiny(width=8, **signs)
    kbnn.recalibrate_batch_norm(model, images)
    agreement = []
    for sharpness in (1.0, 1e6):
        for module in model.submodules:
            if isinstance(module, kbnn.quantizers.SmoothSign):
                module.sharpness.assign(sharpness)
        found = accuracy._smooth(model, config, data)
        classes = kbnn.training.smooth_network(model).predict(images, verbose=0).argmax(axis=-1)
        assert found["smooth_accuracy"] == pytest.approx(np.mean(classes == labels))
        agreement.append(found["smooth_agreement"])
    assert agreement[0] < agreement[1] == 1.0
    assert accuracy._smooth(model, RunConfig(data="fashion_mnist_sample"), data) == {}


def test_unknown_experiments_are_refused():
    result = CliRunner().invoke(accuracy.app, ["run", "no-such"])
    assert result.exit_code == 2
    assert "fashion-ste_sign" in result.stderr


def test_every_baseline_is_an_experiment_on_the_same_data_and_budget():
    budget = ("data", "epochs", "batch_size", "model", "width", "validation")
    for name, baselines in experiments.BASELINES.items():
        one = experiments.EXPERIMENTS[name]
        for baseline in baselines:
            other = experiments.EXPERIMENTS[baseline]
            for setting in budget:
                assert getattr(one, setting) == getattr(other, setting), (name, setting)
        first = experiments.EXPERIMENTS[baselines[0]]
        if name != "fashion-ste_sign-binary_norm":
            assert one.normalization == first.normalization, name


def test_a_fine_tuning_goes_on_with_a_network_of_its_own_data(tmp_path):
    for name, first in experiments.FINE_TUNED.items():
        one, other = experiments.EXPERIMENTS[name], experiments.EXPERIMENTS[first]
        for setting in ("data", "model", "width", "validation", "input_quantizer"):
            assert getattr(one, setting) == getattr(other, setting), (name, setting)
    config = accuracy.settings(experiments.EXPERIMENTS["fashion-tuned-lns"], "final", seed=4)
    with pytest.raises(typer.BadParameter, match=r"seed_1\. Received: none"):
        accuracy.tuned(config, tmp_path)
    folder = tmp_path / "seed_1"
    folder.mkdir()
    (folder / "model.keras").write_bytes(b"a network")
    tuned = accuracy.tuned(config, tmp_path)
    assert (tuned.seed, tuned.split_seed, tuned.pretrained) == (4, 1, str(folder))
    # The same network is the same experiment wherever it lies, another one is not.
    moved = dataclasses.replace(tuned, pretrained=str(tmp_path / "elsewhere"))
    assert accuracy.portable(moved) == accuracy.portable(tuned)
    (folder / "model.keras").write_bytes(b"another network")
    assert accuracy.portable(accuracy.tuned(config, tmp_path)) != accuracy.portable(tuned)


def test_a_teacher_is_of_the_same_data_and_seed(tmp_path):
    for name, (teacher, terms) in experiments.TEACHERS.items():
        one, other = experiments.EXPERIMENTS[name], experiments.EXPERIMENTS[teacher]
        for setting in ("data", "model", "width", "validation", "preprocessing"):
            assert getattr(one, setting) == getattr(other, setting), (name, setting)
        assert one == experiments.EXPERIMENTS["fashion-ste_sign"]
        config = accuracy.settings(one, "screening", seed=1)
        folder = tmp_path / "seed_1"
        folder.mkdir(exist_ok=True)
        (folder / "model.keras").write_bytes(b"a network")
        taught = accuracy.taught(config, tmp_path, terms)
        assert (taught.seed, taught.split, taught.teacher) == (1, 1, str(folder))
        usual = {"distillation_weight": 1.0, "temperature": 1.0, "feature_weight": 0.0}
        for setting, value in {**usual, **terms}.items():
            assert getattr(taught, setting) == value, (name, setting)
        moved = dataclasses.replace(taught, teacher=str(tmp_path / "elsewhere"))
        assert accuracy.portable(moved) == accuracy.portable(taught)
    with pytest.raises(typer.BadParameter, match=r"seed_2\. Received: none.*--seeds 3"):
        accuracy.taught(accuracy.settings(one, "final", seed=2), tmp_path, {})


def test_equal_time_is_twice_the_epochs_and_nothing_else():
    for name, baseline in experiments.EQUAL_TIME.items():
        longer = experiments.EXPERIMENTS[baseline]
        plain = experiments.EXPERIMENTS[experiments.BASELINES[name][0]]
        assert longer == dataclasses.replace(plain, epochs=2 * plain.epochs)
    assert "fashion-latent-real-distillation" in experiments.EQUAL_TIME
    assert "fashion-teacher-w1-t1" in experiments.EQUAL_TIME
    assert "fashion-tuned-lns" not in experiments.EQUAL_TIME


def test_the_summary_compares_at_equal_epochs_and_at_equal_time(tmp_path):
    file = tmp_path / "accuracy.csv"
    names = ("fashion-latent-real", "fashion-pretrained", "fashion-ste_sign-e24")
    for seed in range(2):
        for name, value in zip(names, (0.92, 0.90 + seed / 100, 0.91 + seed / 100), strict=True):
            row = accuracy_table.Row(
                *(name, "final", seed, 3, 0.8, value, value, 1.0, None, None, 1000, 1.0),
                *("{}", "{}", "", "", ""),
            )
            accuracy_table.append(row, file)
    result = CliRunner().invoke(accuracy.app, ["summary", "--file", str(file)])
    assert result.exit_code == 0, result.output
    assert "+1.50 [" in result.output
    assert "+0.50 [" in result.output


def test_the_summary_of_a_fine_tuning_has_the_interval_of_its_networks_too(tmp_path):
    file = tmp_path / "accuracy.csv"
    for seed in range(6):
        for name, gain in (("fashion-tuned", 0.0), ("fashion-tuned-mapping", 0.01 * (seed % 3))):
            row = accuracy_table.Row(
                *(name, "final", seed, 3, 0.8, 0.9, 0.9 + gain, 1.0, None, None, 1000, 1.0),
                *("{}", "{}", "", "", ""),
            )
            accuracy_table.append(row, file)
    result = CliRunner().invoke(accuracy.app, ["summary", "--file", str(file)])
    assert "fashion-tuned, by network" in result.output
    assert "+1.00 [-1.48, +3.48]" in result.output


def test_the_summary_shows_spread_and_difference(tmp_path):
    file = tmp_path / "accuracy.csv"
    for seed, (real, binary) in enumerate([(0.92, 0.90), (0.93, 0.90), (0.94, 0.90)]):
        for name, value in [("fashion-float", real), ("fashion-ste_sign", binary)]:
            accuracy_table.append(
                accuracy_table.Row(
                    *(name, "final", seed, 3, 0.8, value, value, 1.0, None, None, 1000, 1.0),
                    *("{}", "{}", "", "", ""),
                ),
                file,
            )
    result = CliRunner().invoke(accuracy.app, ["summary", "--file", str(file)])
    assert "93.00 +- 1.00" in result.output
    assert "+3.00 [+0.52, +5.48]" in result.output
