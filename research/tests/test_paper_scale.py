"""Export and import of an arm, and with the tool and JAX the training between them.

The environment variables KBNN_XLA_TOOL (the folder with export_step.py) and KBNN_JAX_PYTHON (a
Python with JAX, which needs another NumPy than Larq Compute Engine) enable the latter.
"""

import csv
import json
import os
import pathlib
import subprocess

import numpy as np
import pytest
import tf_keras as keras
import typer
from typer.testing import CliRunner

from kbnn.runs.run_model import build_model, load_data
from kbnn.techniques import NoisySupervision, Residual
from research import bench_table, benches, exported_step, paper_scale
from research.tests.small_run import small_config

TOOL, JAX = os.environ.get("KBNN_XLA_TOOL"), os.environ.get("KBNN_JAX_PYTHON")
needs_jax = pytest.mark.skipif(
    not (TOOL and JAX), reason="KBNN_XLA_TOOL and KBNN_JAX_PYTHON are not set"
)

# A tool that only stores the values under their names.
_EXPORT_STEP = """
import numpy as np
def export_step(step, example_inputs, variables, path):
    np.savez(f"{path}.npz", **{name: variable.numpy() for name, variable in variables.items()})
    return {"names": list(variables) + UNNAMED}
def load_variables(path, variables):
    with np.load(path) as saved:
        for name, variable in variables.items():
            variable.assign(saved[name])
"""

_THREE_STEPS = """
import json, sys
tool, folder = sys.argv[1:]
sys.path.insert(0, tool)
import jax
jax.config.update("jax_enable_x64", True)
import numpy as np
from run_step import Step
step, data, losses = Step(folder + "/train"), np.load(folder + "/batches.npz"), []
state = dict(step.initial)
for images, labels in zip(data["images"], data["labels"]):
    state, (loss,) = step(state, images, labels)
    losses.append(float(loss))
np.savez(folder + "/trained.npz", **{name: np.asarray(value) for name, value in state.items()})
print(json.dumps(losses))
"""


TOML = """
title = "a network on some images"
seeds = 1
baseline = "plain"
[data]
dataset = "folder"
batch_size = 32
augment = "both"
[network]
width = 8
[fit]
epochs = 3
recalibration = 2
[arms.plain]
label = "plain signs"
{changes}
[arms.tuned]
label = "tuned"
from = "plain"
[arms.taught]
label = "taught"
teacher = "plain"
"""


@pytest.fixture
def config(images, tmp_path):
    """The settings of the arm `plain`."""
    (tmp_path / "small.toml").write_text(TOML.format(changes=""))
    return benches.load(str(tmp_path / "small.toml")).config("plain", 0, tmp_path, images)


@pytest.fixture
def tool(tmp_path):
    def tool(unnamed=()):
        folder = tmp_path / "tool"
        folder.mkdir()
        for name in paper_scale.TOOL_FILES:
            (folder / name).touch()
        source = _EXPORT_STEP.replace("UNNAMED", repr(list(unnamed)))
        (folder / "export_step.py").write_text(source)
        return folder

    return tool


@pytest.fixture
def invoke(tmp_path, images):
    """A function that calls a command for an arm of the bench."""

    def call(command, *arguments, arm="plain"):
        words = [command, tmp_path / "small.toml", arm, *arguments, "--data-dir", images]
        return CliRunner().invoke(paper_scale.app, [*map(str, words)])

    return call


def message(result):
    """Return standard error without its frame and line breaks."""
    return " ".join(result.stderr.replace("│", "").split())


def import_arguments(tmp_path, tool):
    return (
        *("--from", tmp_path / "step", "--tool", tool, "--machine", "a GPU"),
        *("--file", tmp_path / "bench.csv", "--runs", tmp_path / "runs"),
    )


def write_log(folder, epochs):
    with (folder / "trained.csv").open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["epoch", "loss", "test_accuracy", "seconds"])
        writer.writerows([epoch + 1, 0.5, 0.5, 2.0 * epoch] for epoch in range(epochs))


@pytest.mark.slow
def test_what_is_exported_comes_back_as_a_run_with_its_row(config, tool, invoke, tmp_path):
    folder = tmp_path / "step"
    tool = tool()
    exported = invoke("export", "--out", folder, "--tool", tool)
    assert exported.exit_code == 0, exported.output
    with np.load(folder / "train.npz") as saved:
        trained = {name: value + 0.125 for name, value in saved.items()}
    np.savez(folder / "trained.npz", **trained)
    write_log(folder, epochs=3)
    imported = invoke("import", *import_arguments(tmp_path, tool))
    assert imported.exit_code == 0, imported.output

    model = keras.models.load_model(tmp_path / "runs/small/plain/seed_0/model.keras", compile=False)
    values = [value for name, value in trained.items() if name.startswith("model/")]
    for variable, own, value in zip(model.weights, model.get_weights(), values, strict=True):
        # The statistics of batch normalization are measured anew.
        assert np.array_equal(own, value) != ("moving_" in variable.name), variable.name
    expected = build_model(config)
    expected.set_weights(values)
    config.fit.compile(expected, steps=1)
    validation = load_data(config).validation
    before = expected.evaluate(validation, verbose=0, return_dict=True)["accuracy"]

    (row,) = bench_table.read(tmp_path / "bench.csv")
    assert row.key == ("small", "plain", 0)
    assert row.validation_accuracy_before == before
    config.fit.compile(model, steps=1)
    after = model.evaluate(validation, verbose=0, return_dict=True)["accuracy"]
    assert row.validation_accuracy == after
    assert row.machine.startswith("trained on a GPU, exported at ")
    assert row.device_accuracy == row.keras_accuracy
    assert (row.epochs, row.train_seconds, row.cpu_seconds) == (3, 4.0, 4.0)
    again = invoke("import", *import_arguments(tmp_path, tool))
    assert again.exit_code == 2
    assert "Expected a run that is not in" in message(again)


def test_the_loop_gets_the_training_images_and_those_held_out(config, tmp_path):
    splits = load_data(config)
    paper_scale.write_images(splits.train, splits.validation, tmp_path / "data.npz")
    with np.load(tmp_path / "data.npz", allow_pickle=False) as data:
        assert data["x_train"].shape == (216, 12, 12, 1)
        assert data["x_test"].shape == (24, 12, 12, 1)
        assert data["x_train"].dtype == np.uint8
        assert data["y_test"].dtype == np.int64


def test_the_command_says_what_the_arm_says(images):
    config = small_config(images, epochs=7, learning_rate=0.25, seed=3)
    command = paper_scale.loop_command(config, "data.npz")
    assert "--schedule learning_rate=cosine:0.25:0 --no-augment" in " ".join(command)
    assert "--epochs 7 --seed 3" in " ".join(command)
    for schedule, expected in (("constant", "linear:0.25:0.25"), ("linear", "linear:0.25:0")):
        config = small_config(
            images, schedule=schedule, learning_rate=0.25, data={"augment": "both"}
        )
        command = paper_scale.loop_command(config, "data.npz")
        assert command[-1] == f"learning_rate={expected}"


@pytest.mark.parametrize(
    ("changes", "received"),
    [
        ('network = { preprocessing = "pipeline" }', "preprocessing='pipeline'"),
        ('data = { augment = "crop" }', "augment='crop'"),
        ("data = { validation = 0 }", "validation=0"),
        ('fit = { precision = "bfloat16" }', "precision='bfloat16', warmup=0"),
        ("fit = { warmup = 1 }", "precision='float32', warmup=1"),
        (
            "fit = { average_weights = 0.9 }",
            "precision='float32', warmup=0, average_weights=0.9",
        ),
        ("techniques = { latent_weights = {} }", "latent_weights"),
    ],
)
def test_what_the_loop_cannot_do_is_refused(tool, invoke, tmp_path, changes, received):
    (tmp_path / "small.toml").write_text(TOML.format(changes=changes))
    result = invoke("export", "--out", tmp_path / "step", "--tool", tool())
    assert result.exit_code == 2
    assert f"Received: {received}" in message(result)
    assert not (tmp_path / "step").exists()


def test_noisy_supervision_is_in_the_step(images):
    config = small_config(images, techniques=(NoisySupervision(start=Residual(1.0)),))
    paper_scale.check_exportable(config)


def test_a_folder_that_is_not_the_tool_is_refused(config, invoke, tmp_path):
    result = invoke("export", "--out", tmp_path / "step", "--tool", tmp_path)
    assert result.exit_code == 2
    assert "without export_step.py, run_step.py" in message(result)


@pytest.mark.parametrize(
    ("arm", "expected"),
    [
        ("no-such", "Expected an arm of small: plain"),
        ("tuned", "starts from new weights"),
        ("taught", "starts from new weights"),
    ],
)
def test_other_arms_are_refused(config, tool, invoke, tmp_path, arm, expected):
    result = invoke("export", "--out", tmp_path / "step", "--tool", tool(), arm=arm)
    assert result.exit_code == 2
    assert expected in message(result)


def test_variables_that_the_loop_could_not_tell_apart_are_refused(config, tool, invoke, tmp_path):
    result = invoke("export", "--out", tmp_path / "step", "--tool", tool(["var_7"]))
    assert result.exit_code == 1
    assert "Received: ['var_7']" in str(result.exception)


def test_an_export_with_other_settings_is_refused(config, tool, invoke, tmp_path):
    (tmp_path / "step").mkdir()
    settings = config.to_dict()
    settings["fit"]["epochs"] = 4
    content = {"bench": "small", "arm": "plain", "settings": json.dumps(settings)}
    (tmp_path / "step" / "export.json").write_text(json.dumps(content))
    result = invoke("import", *import_arguments(tmp_path, tool()))
    assert result.exit_code == 2
    assert "to be an export of small plain" in message(result)


def test_a_training_that_was_cut_short_is_refused(tmp_path):
    write_log(tmp_path, epochs=2)
    with pytest.raises(typer.BadParameter, match=r"Expected 3 epochs.*Received: 2"):
        paper_scale.training_seconds(tmp_path / "trained.csv", 3)


def test_a_file_without_the_models_variables_is_refused(config, tool, tmp_path):
    np.savez(tmp_path / "trained.npz", learning_rate=0.1)
    exporter = paper_scale.load_tool(tool())
    with pytest.raises(typer.BadParameter, match="model/0/stem/kernel"):
        paper_scale.load_trained_variables(exporter, tmp_path / "trained.npz", build_model(config))


@needs_jax
@pytest.mark.slow
@pytest.mark.parametrize("quantizer", ["none", "ste_sign"])
def test_three_steps_in_jax_are_three_steps_in_keras(images, tmp_path, quantizer):
    config = small_config(
        images,
        schedule="constant",
        network={"input_quantizer": quantizer, "kernel_quantizer": quantizer},
    )
    keras.utils.set_random_seed(0)
    model = build_model(config)
    config.fit.compile(model, steps=1)
    with np.load(images / "data.npz", allow_pickle=False) as data:
        x, y = data["x_train"][:96, ..., None], data["y_train"][:96]
    normalization = exported_step.Normalization.from_images(x)
    exporter = paper_scale.load_tool(pathlib.Path(TOOL))
    paper_scale.export_steps(
        exporter, model, normalization, tmp_path, batch_size=32, eval_batch_size=32
    )
    normalized = (x / np.float32(255) - normalization.mean) / normalization.std
    batches = normalized.reshape(3, 32, 12, 12, 1), y.reshape(3, 32)
    np.savez(tmp_path / "batches.npz", images=batches[0], labels=batches[1])
    done = subprocess.run(
        [JAX, "-c", _THREE_STEPS, TOOL, str(tmp_path)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    losses = [
        model.train_on_batch(*batch, reset_metrics=True, return_dict=True)["loss"]
        for batch in zip(x.reshape(3, 32, 12, 12, 1), batches[1], strict=True)
    ]
    np.testing.assert_allclose(json.loads(done.stdout), losses, rtol=1e-4)
    trained = build_model(config)
    paper_scale.load_trained_variables(exporter, tmp_path / "trained.npz", trained)
    for own, other in zip(trained.weights, model.weights, strict=True):
        np.testing.assert_allclose(own, other, atol=1e-3, err_msg=own.name)


@needs_jax
@pytest.mark.slow
def test_the_loop_trains_what_was_exported(config, invoke, tmp_path):
    folder = tmp_path / "step"
    exported = invoke("export", "--out", folder, "--tool", TOOL)
    assert exported.exit_code == 0, exported.output
    command = json.loads((folder / "export.json").read_text())["command"]
    command[:2] = [JAX, str(pathlib.Path(TOOL, "train_loop.py"))]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    imported = invoke("import", *import_arguments(tmp_path, TOOL))
    assert imported.exit_code == 0, imported.output
    (row,) = bench_table.read(tmp_path / "bench.csv")
    last = done.stdout.splitlines()[-1].split()
    # The loop's own measure, on 24 images: the trained model is the one that came back.
    measured = float(last[last.index("test") + 1])
    assert row.validation_accuracy_before == pytest.approx(measured, abs=1e-4)
    assert row.device_accuracy == row.keras_accuracy
