"""Export and import of an experiment, and with the tool and JAX the training between them.

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

from kbnn.runs import RunConfig
from kbnn.runs.run_model import build_model, load_data
from research import accuracy_table, experiments, exported_step, paper_scale
from research.experiments import Experiment
from research.experiments.experiment import make_config

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


@pytest.fixture
def config(images, monkeypatch):
    config = make_config(
        dataset="folder", directory=str(images), width=8, batch_size=32, epochs=3, augment="both"
    )
    monkeypatch.setitem(experiments.EXPERIMENTS, "small", Experiment(config))
    return config


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


def invoke(command, *arguments):
    return CliRunner().invoke(paper_scale.app, [command, "small", *map(str, arguments)])


def message(result):
    """Return standard error without its frame and line breaks."""
    return " ".join(result.stderr.replace("│", "").split())


def import_arguments(tmp_path, tool):
    return (
        *("--from", tmp_path / "step", "--tool", tool, "--machine", "a GPU"),
        *("--file", tmp_path / "accuracy.csv", "--runs", tmp_path / "runs"),
    )


def write_log(folder, epochs):
    with (folder / "trained.csv").open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["epoch", "loss", "test_accuracy", "seconds"])
        writer.writerows([epoch + 1, 0.5, 0.5, 2.0 * epoch] for epoch in range(epochs))


@pytest.mark.slow
def test_what_is_exported_comes_back_as_a_run_with_its_row(config, tool, tmp_path):
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

    model = keras.models.load_model(tmp_path / "runs/final/small/seed_0/model.keras", compile=False)
    values = [value for name, value in trained.items() if name.startswith("model/")]
    for own, value in zip(model.get_weights(), values, strict=True):
        np.testing.assert_array_equal(own, value)
    expected = build_model(config)
    expected.set_weights(values)
    test_images, _ = next(iter(load_data(config).test))
    np.testing.assert_array_equal(model(test_images), expected(test_images))

    (row,) = accuracy_table.read(tmp_path / "accuracy.csv")
    assert row.key == ("small", "final", 0)
    assert row.machine.startswith("trained on a GPU, exported at ")
    assert row.device_accuracy == row.keras_accuracy
    assert (row.epochs, row.train_seconds) == (3, 4.0)
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


def test_the_command_says_what_the_experiment_says():
    config = make_config(dataset="fashion_mnist", epochs=7, learning_rate=0.25, seed=3)
    command = paper_scale.loop_command(config, "data.npz")
    assert "--schedule learning_rate=cosine:0.25:0 --no-augment" in " ".join(command)
    assert "--epochs 7 --seed 3" in " ".join(command)
    constant = make_config(
        dataset="fashion_mnist", schedule="constant", learning_rate=0.25, augment="both"
    )
    command = paper_scale.loop_command(constant, "data.npz")
    assert command[-1] == "learning_rate=linear:0.25:0.25"


@pytest.mark.parametrize(
    ("part", "setting", "value"),
    [
        ("network", "preprocessing", "pipeline"),
        ("data", "augment", "crop"),
        ("data", "validation", 0),
    ],
)
def test_what_the_loop_cannot_do_is_refused(
    config, tool, tmp_path, monkeypatch, part, setting, value
):
    content = config.to_dict()
    content[part][setting] = value
    changed = RunConfig.from_dict(content)
    monkeypatch.setitem(experiments.EXPERIMENTS, "small", Experiment(changed))
    result = invoke("export", "--out", tmp_path / "step", "--tool", tool())
    assert result.exit_code == 2
    assert f"Received: {setting}={value!r}" in message(result)
    assert not (tmp_path / "step").exists()


def test_a_folder_that_is_not_the_tool_is_refused(config, tmp_path):
    result = invoke("export", "--out", tmp_path / "step", "--tool", tmp_path)
    assert result.exit_code == 2
    assert "without export_step.py, run_step.py" in message(result)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("no-such", "fashion-ste_sign"),
        ("fashion-tuned-lns", "starts from new weights"),
        ("fashion-teacher-w1-t1", "starts from new weights"),
    ],
)
def test_other_experiments_are_refused(tool, tmp_path, name, expected):
    arguments = ["export", name, "--out", str(tmp_path / "step"), "--tool", str(tool())]
    result = CliRunner().invoke(paper_scale.app, arguments)
    assert result.exit_code == 2
    assert expected in message(result)


def test_variables_that_the_loop_could_not_tell_apart_are_refused(config, tool, tmp_path):
    result = invoke("export", "--out", tmp_path / "step", "--tool", tool(["var_7"]))
    assert result.exit_code == 1
    assert "Received: ['var_7']" in str(result.exception)


def test_an_export_with_other_settings_is_refused(config, tool, tmp_path):
    (tmp_path / "step").mkdir()
    settings = config.to_dict()
    settings["fit"]["epochs"] = 4
    content = {"experiment": "small", "settings": settings}
    (tmp_path / "step" / "export.json").write_text(json.dumps(content))
    result = invoke("import", *import_arguments(tmp_path, tool()))
    assert result.exit_code == 2
    assert "to be an export of small" in message(result)


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
    config = make_config(
        dataset="folder",
        directory=str(images),
        width=8,
        batch_size=32,
        schedule="constant",
        input_quantizer=quantizer,
        kernel_quantizer=quantizer,
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
def test_the_loop_trains_what_was_exported(config, tmp_path):
    folder = tmp_path / "step"
    exported = invoke("export", "--out", folder, "--tool", TOOL)
    assert exported.exit_code == 0, exported.output
    command = json.loads((folder / "export.json").read_text())["command"]
    command[:2] = [JAX, str(pathlib.Path(TOOL, "train_loop.py"))]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    imported = invoke("import", *import_arguments(tmp_path, TOOL))
    assert imported.exit_code == 0, imported.output
    (row,) = accuracy_table.read(tmp_path / "accuracy.csv")
    last = done.stdout.splitlines()[-1].split()
    # The loop's own measure, on 24 images: the trained model is the one that came back.
    assert row.validation_accuracy == pytest.approx(float(last[last.index("test") + 1]), abs=1e-4)
    assert row.device_accuracy == row.keras_accuracy
