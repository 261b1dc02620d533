import csv
import json
import re
import shutil
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from typer.testing import CliRunner

from kbnn import __version__
from kbnn.cli.main import app
from kbnn.quantizers import SmoothSign
from kbnn.runs import Data, Fit, InputError, RunConfig, RunFailed, run, train_run
from kbnn.runs import callbacks as run_callbacks
from kbnn.runs.folder import RunFolder
from kbnn.techniques import SelfBinarizing, TanhSurrogate

runner = CliRunner()

SAMPLE = ("--data", "fashion_mnist_sample")
SMOOTH = ("--method", "self-binarizing")
SURROGATE = ("--method", "tanh-surrogate")


def train(*arguments):
    """Run `kbnn train` in this process; for what ends before the training."""
    return runner.invoke(app, ["train", *map(str, arguments)])


def test_json_is_all_there_is_on_stdout(finished):
    folder, process = finished
    printed = json.loads(process.stdout)
    assert printed.pop("run") == str(folder)
    assert printed == json.loads((folder / "result.json").read_text())


def test_without_a_terminal_each_epoch_is_a_line(finished):
    # TensorFlow 2.16 puts a warning of AutoGraph's before them.
    lines = [line for line in finished[1].stderr.splitlines() if "epoch" in line]
    assert [line[:11] for line in lines] == [f"epoch {epoch}/3  " for epoch in (1, 2, 3)]


def test_run_folder_is_complete(finished):
    folder, _ = finished
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {"config.json", "log.csv", "curves.png", "model.keras", "result.json"} <= files
    assert "checkpoints/best.keras" in files
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_config_repeats_the_run(finished, images):
    saved = json.loads((finished[0] / "config.json").read_text())
    config = RunConfig.from_dict(saved["settings"])
    found = (config.data.directory, config.network.width, config.fit.seed)
    assert found == (str(images), 8, 3)
    assert config.fit.learning_rate == 0.005
    assert saved["versions"]["kbnn"] == __version__
    assert {"tensorflow", "tf-keras", "larq"} <= set(saved["versions"])


def test_log_has_a_row_per_epoch(finished):
    with open(finished[0] / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    rates = [float(row["learning_rate"]) for row in rows]
    # A cosine over 21 steps, at the last step of each epoch of 7.
    last_steps = np.array([6, 13, 20])
    assert rates == pytest.approx(25e-4 * (1 + np.cos(np.pi * last_steps / 21)), rel=1e-4)
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "seconds"} <= set(rows[0])


def test_result_holds_the_last_and_the_best_epoch(finished):
    folder, _ = finished
    result = json.loads((folder / "result.json").read_text())
    with open(folder / "log.csv", newline="") as file:
        accuracies = [float(row["val_accuracy"]) for row in csv.DictReader(file)]
    assert result["last_epoch"]["epoch"] == 3
    assert result["best_epoch"]["epoch"] == accuracies.index(max(accuracies)) + 1
    assert result["test_accuracy"] > 0.6  # three classes that differ in brightness


@pytest.mark.slow
@pytest.mark.parametrize("model", ["resnet20", "resnet20_plain", "resnet18_small"])
def test_residual_networks_train(model, run_kbnn, settings, tmp_path):
    folder = tmp_path / "run"
    options = ("--model", model, "--set", "clip_norm=5", "--input-quantizer", "approx_sign")
    process = run_kbnn("train", *settings(epochs=1), *options, "--run", folder, "--json")
    assert process.returncode == 0, process.stderr
    config = json.loads((folder / "config.json").read_text())["settings"]
    found = (config["network"]["architecture"], config["fit"]["clip_norm"])
    assert found == (model, 5.0)


def test_finished_run_is_left_as_it_is(finished):
    folder, _ = finished
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    result = train("--resume", "--run", folder, "--json")
    assert result.exit_code == 0
    assert "is finished" in result.stderr
    assert json.loads(result.stdout)["test_accuracy"] > 0.6
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_existing_run_is_not_overwritten(finished, settings):
    result = train(*settings(epochs=3), "--run", finished[0])
    assert result.exit_code == 2
    assert "--resume" in result.stderr
    assert result.stdout == ""


def test_folder_of_other_things_is_not_written_to(settings, tmp_path):
    (tmp_path / "thesis.txt").write_text("...")
    result = train(*settings(epochs=3), "--run", tmp_path)
    assert result.exit_code == 2
    assert "Choose another folder" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--width", "16"], "--width 16 (the run has 8)"),
        (["--epochs", "30"], "--epochs 30 (the run has 3)"),
        (["--data", "mnist"], "--data mnist (the run has folder)"),
        (["--input-quantizer", "none"], "--input-quantizer none (the run has ste_sign)"),
        (["--set", "clip_norm=1"], "--set fit.clip_norm 1 (the run has none)"),
        (["--method", "contrastive"], "--method contrastive given (the run has none)"),
    ],
)
def test_contradiction_to_the_run_is_refused(options, message, finished):
    result = train("--resume", "--run", finished[0], *options)
    assert result.exit_code == 2
    assert message in result.stderr


def test_options_that_agree_with_the_run_are_welcome(finished, settings):
    assert train(*settings(epochs=3), "--resume", "--run", finished[0]).exit_code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "fasion_mnist"], "Expected --data to be one of fashion_mnist"),
        ([*SAMPLE, "--model", "resnet"], "--model to be one of vgg_tiny, vgg_small, resnet20"),
        ([*SAMPLE, "--optimizer", "lion"], "adam, sgd"),
        ([*SAMPLE, "--schedule", "step"], "cosine, linear, constant"),
        ([*SAMPLE, "--augment", "mixup"], "none, crop, flip, both"),
        ([*SAMPLE, "--input-quantizer", "relu"], "ste_sign, approx_sign"),
        ([*SAMPLE, "--kernel-quantizer", "int8"], "magnitude_aware_sign"),
        ([*SAMPLE, "--set", "preprocessing=both"], "--set preprocessing to be one of inside, pipe"),
        ([*SAMPLE, "--epochs", "0"], "--epochs to be a positive integer"),
        ([*SAMPLE, "--epochs", "many"], "--epochs to be a positive integer. Received: epochs=many"),
        ([*SAMPLE, "--width", "-8"], "--width to be a positive integer"),
        ([*SAMPLE, "--seed", "-1"], "--seed to be an integer from 0 to 4294967295"),
        ([*SAMPLE, "--learning-rate", "nan"], "--learning-rate to be a number above 0"),
        ([*SAMPLE, "--set", "clip_norm=0"], "--set clip_norm to be a number above 0"),
        ([*SAMPLE, "--validation", "1.5"], "validation"),
        ([*SAMPLE, "--image-size", "big"], "--image-size to be two integers of at least 1 or none"),
        ([*SAMPLE, "--image-size", "big"], "written HEIGHTxWIDTH. Received: image_size=big"),
        ([*SAMPLE, "--method", "magic"], "--method to be one of self-binarizing"),
        ([*SAMPLE, "--set", "epochs"], "--set NAME=VALUE"),
        ([*SAMPLE, "--set", " =1"], "--set NAME=VALUE"),
        ([*SAMPLE, "--set", "magic=1"], "`kbnn settings` lists them all"),
        (
            [*SAMPLE, "--set", "clip_norm=1", "--set", "clip-norm=2"],
            "Expected one value for --set clip_norm. Received: 1 and 2",
        ),
        ([*SAMPLE, "--epochs", "1", "--set", "epochs=2"], "one value for --epochs. Received: "),
        ([*SAMPLE, "--epochs", "1", "--set", "fit.epochs=2"], "one value for --epochs. Received: "),
        ([*SAMPLE, *SMOOTH, *SMOOTH], "Expected each --method once. Received: self-binarizing, se"),
        (
            [*SAMPLE, *SMOOTH, "--set", "negatives.count=9"],
            "It exists as contrastive.negatives.count with --method contrastive --set negatives=",
        ),
        ([*SAMPLE, "--set", "pretrained=runs/first"], "Expected --from RUN"),
        ([*SAMPLE, "--set", "kernel_scale=1e300"], "--set kernel_scale to be a number from 1e-06"),
        ([*SAMPLE, "--image-size", "2x2"], "--image-size to be at least 4x4"),
        (
            [*SAMPLE, "--method", "distillation", "--set", "teacher="],
            "--set teacher to be the folder of the finished run",
        ),
        (["--data", ""], "--data to be a string"),
        (
            [*SAMPLE, "--set", "hard_from=0.5"],
            "self_binarizing.hard_from with --method self-binarizing",
        ),
        (
            [*SAMPLE, *SMOOTH, *SURROGATE, "--set", "kernels=none", "--set", "inputs=1:9"],
            "Expected the path of one setting: self_binarizing.kernels or tanh_surrogate.kernels",
        ),
        (
            [*SAMPLE, *SMOOTH, "--set", "kernels=9"],
            "--set kernels to be two numbers above 0 and at most 1e+30 or none, written FIRST:LAST",
        ),
        ([*SAMPLE, *SMOOTH, "--set", "inputs=1:-9"], "to be two numbers above 0"),
        (
            [*SAMPLE, *SMOOTH, "--set", "kernels=none", "--set", "inputs=none"],
            "Expected a sharpness for --set kernels, --set inputs or both",
        ),
        ([*SAMPLE, *SMOOTH, "--set", "hard_from=2"], "--set hard_from to be a number above 0 and"),
        (
            [*SAMPLE, *SMOOTH, "--set", "order=random"],
            "--set order to be one of together, layer_by",
        ),
        (
            [*SAMPLE, *SMOOTH, "--input-quantizer", "ste_sign"],
            "--input-quantizer from the network or from a technique",
        ),
        (
            [*SAMPLE, *SMOOTH, "--method", "noisy-supervision"],
            "one technique with --kernel-quantizer. Received: --method noisy-supervision and "
            "--method self-binarizing. Leave one of them out, or give --set kernels=none.",
        ),
        (
            [*SAMPLE, "--model", "resnet20", "--set", "normalization=binary"],
            "It works in chains",
        ),
        (
            [*SAMPLE, "--kernel-quantizer", "none", "--set", "kernel-scale=2"],
            "--set kernel_scale with a kernel quantizer",
        ),
        (
            [*SAMPLE, "--model", "resnet20", "--set", "binary_stem=true"],
            "--set binary_stem only with two quantizers and an architecture without branches",
        ),
        (
            [*SAMPLE, "--input-quantizer", "none", "--set", "binary_classifier=true"],
            "--set binary_classifier only with two quantizers",
        ),
        (["--data", "folder", "--data-dir", "/nowhere"], "/nowhere"),
        (["--data", "folder"], "directory"),
        ([*SAMPLE, "--data-dir", "."], "--data-dir to be None"),
        ([], "Expected --data (name of the data: fashion_mnist"),
        (["--resume"], "does not exist"),
        (["--from", "n" * 300], "which does not exist"),
    ],
)
def test_bad_input_is_refused_before_the_folder_is_made(options, message, tmp_path):
    result = train(*options, "--run", tmp_path / "run")
    assert result.exit_code == 2
    assert message in re.sub(r"\s+", " ", result.stderr)
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("n" * 300, SAMPLE, "Expected a run folder whose name has at most 255 bytes. Received: "),
        (f"new/{'n' * 300}", SAMPLE, "a run folder whose name has at most 255 bytes"),
        ("/".join(["deeper"] * 600), SAMPLE, "a run folder whose path has at most 3968 bytes"),
        ("n" * 300, ["--resume"], "which does not exist"),
    ],
)
def test_a_path_that_is_too_long_is_refused(name, options, message, tmp_path):
    result = train(*options, "--run", tmp_path / name)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Errno" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_broken_config_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{")
    assert "Expected JSON" in train("--resume", "--run", tmp_path).stderr
    (tmp_path / "config.json").write_text('{"settings": {"dataset": "mnist"}}')
    result = train("--resume", "--run", tmp_path)
    assert result.exit_code == 2
    assert "Expected the settings data, network, fit and techniques" in result.stderr
    assert "train it again" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("part", "content", "message"),
    [
        ("techniques", [], "Received: techniques=[] (in "),
        ("techniques", None, "Expected the settings of techniques"),
        ("network", {"width": "8"}, "Expected width to be a positive integer or None. Received"),
        ("data", {}, "Expected dataset (name of the data"),
    ],
)
def test_an_error_in_a_config_names_the_file_and_no_option(
    part, content, message, finished, tmp_path
):
    saved = json.loads((finished[0] / "config.json").read_text())
    saved["settings"][part] = content
    (tmp_path / "config.json").write_text(json.dumps(saved))
    new = tmp_path / "new"
    for arguments in (["--resume", "--run", tmp_path], ["--from", tmp_path, "--run", new]):
        result = train(*arguments)
        assert result.exit_code == 2
        assert message in result.stderr
        assert result.stderr.strip().endswith(f"(in {tmp_path / 'config.json'})")


def test_memory_that_is_full_is_said(monkeypatch, tmp_path):
    def fail(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(run, "build_model", fail)
    result = train(*SAMPLE, "--run", tmp_path / "run")
    assert result.exit_code == 1
    assert "Out of memory" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_technique_for_trained_networks_is_noted(monkeypatch, tmp_path):
    def fail(*_, **__):
        raise InputError("Stop.")

    monkeypatch.setattr(run, "load_data", fail)
    result = train(*SAMPLE, "--method", "noisy-supervision", "--run", tmp_path / "run")
    noted = "--method noisy-supervision is meant for a trained network, which --from gives."
    assert noted in result.stderr


@pytest.mark.parametrize(
    ("part", "setting", "value"),
    [
        ("fit", "epochs", 30),
        ("fit", "learning_rate", 0.1),
        ("fit", "seed", 4),
        ("data", "dataset", "mnist"),
    ],
)
def test_an_edited_config_is_not_resumed(part, setting, value, finished, tmp_path):
    content = json.loads((finished[0] / "config.json").read_text())
    content["settings"][part][setting] = value
    (tmp_path / "config.json").write_text(json.dumps(content))
    result = train("--resume", "--run", tmp_path)
    assert result.exit_code == 2
    assert "edited settings" in result.stderr
    with pytest.raises(InputError, match="edited settings"):
        train_run(None, tmp_path, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_data_of_a_run_may_move(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "run")
    file = tmp_path / "run" / "config.json"
    content = json.loads(file.read_text())
    content["settings"]["data"]["directory"] = "/elsewhere"
    file.write_text(json.dumps(content))
    assert train("--resume", "--run", tmp_path / "run").exit_code == 0


def test_what_a_killed_process_left_is_removed(tmp_path):
    left = [tmp_path / ".unfinished-1", tmp_path / "checkpoints/latest/chief/ckpt-2_temp"]
    kept = tmp_path / "checkpoints/latest/chief/ckpt-1.index"
    for file in (left[0] / "log.csv", left[1] / "part-0", kept):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    RunFolder(tmp_path).remove_unfinished()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [kept]


def test_train_run_without_settings_is_refused(tmp_path):
    with pytest.raises(InputError, match="config=None"):
        train_run(None, tmp_path / "run")


def test_train_run_refuses_other_settings(finished):
    with pytest.raises(InputError, match=r"`fit.epochs` 5 \(the run has 3\)"):
        train_run(RunConfig(Data("mnist"), fit=Fit(epochs=5)), finished[0], resume=True)


def test_other_versions_are_noted(finished, tmp_path):
    saved = json.loads((finished[0] / "config.json").read_text())
    saved["versions"]["larq"] = "0.0"
    (tmp_path / "config.json").write_text(json.dumps(saved))
    (tmp_path / "result.json").write_text((finished[0] / "result.json").read_text())
    assert "larq 0.0 -> " in train("--resume", "--run", tmp_path).stderr
    saved["versions"] = None
    (tmp_path / "config.json").write_text(json.dumps(saved))
    assert "larq None -> " in train("--resume", "--run", tmp_path).stderr


@pytest.mark.parametrize("broken", ["loss", "val_loss", "kernel"])
def test_an_epoch_with_numbers_that_are_not_finite_leaves_nothing(broken, tmp_path):
    model = keras.Sequential([keras.layers.Dense(1, input_shape=(2,))])
    model.compile("adam", "mse")
    callback = run_callbacks.LogEpochs(RunFolder(tmp_path))
    callback.set_model(model)
    callback.on_epoch_begin(0)
    logs = {"loss": 1.0, "val_loss": 1.0}
    callback.on_train_batch_end(0, logs)
    if broken == "kernel":
        model.layers[0].kernel.assign([[1.0], [np.inf]])
    else:
        logs[broken] = np.nan
    with pytest.raises(RunFailed, match=rf"infinity in .*{broken}.*, in epoch 1"):
        callback.on_epoch_end(0, logs)
    assert not list(tmp_path.iterdir())


def test_a_test_loss_that_is_not_finite_is_no_result(tmp_path):
    layer = keras.layers.Dense(3, kernel_initializer="ones", input_shape=(2,))
    model = keras.Sequential([layer])
    test = tf.data.Dataset.from_tensors((np.full((1, 2), 3e38), np.zeros(1)))
    folder = RunFolder(tmp_path)
    folder.write_log([{"epoch": 1, "seconds": 1.0}])
    with pytest.raises(RunFailed, match="Expected a finite loss on the test images"):
        run._finish(model, {}, test, RunConfig(Data("mnist")), folder)
    assert not folder.result_file.exists()


def test_a_loss_that_is_not_finite_ends_its_batch(tmp_path):
    callback = run_callbacks.LogEpochs(RunFolder(tmp_path))
    callback.on_epoch_begin(0)
    with pytest.raises(RunFailed, match="infinity in loss, in epoch 1"):
        callback.on_train_batch_end(0, {"loss": np.nan})


@pytest.mark.slow
def test_divergence_ends_the_run(run_kbnn, settings, tmp_path):
    process = run_kbnn(
        *("train", *settings(epochs=3), "--run", tmp_path / "run"),
        *("--learning-rate", "1e38", "--optimizer", "sgd"),
    )
    assert process.returncode == 1
    assert "Expected a finite loss" in process.stderr
    assert "Traceback" not in process.stderr
    assert not (tmp_path / "run" / "result.json").exists()


@pytest.mark.slow
def test_without_validation_and_without_matplotlib(run_kbnn, settings, tmp_path):
    # A module that is None in sys.modules cannot be imported.
    code = "import sys; sys.modules['matplotlib'] = None; from kbnn.cli.main import main; main()"
    folder = tmp_path / "run"
    process = run_kbnn(
        *("train", *settings(epochs=1), "--run", folder),
        *("--validation", "0", "--set", "preprocessing=pipeline"),
        command=[sys.executable, "-c", code],
    )
    assert process.returncode == 0, process.stderr
    assert "No curves.png: it needs matplotlib" in process.stderr
    assert not (folder / "curves.png").exists()
    assert json.loads((folder / "result.json").read_text())["best_epoch"] is None
    assert not (folder / "checkpoints" / "best.keras").exists()


MEASURES = {"conv_1/kernel_flip_ratio", "conv_1/kernel_residual"}


@pytest.mark.slow
@pytest.mark.parametrize("order", ["together", "layer_by_layer"])
def test_a_self_binarizing_run_is_soft_then_hard_and_ships(run_kbnn, settings, tmp_path, order):
    folder = tmp_path / "run"
    method = (
        *SMOOTH,
        "--set",
        "kernels=1:50",
        "--set",
        "hard_from=0.75",
        "--set",
        f"order={order}",
    )
    process = run_kbnn("train", *settings(epochs=2), *method, "--run", folder)
    assert process.returncode == 0, process.stderr
    config = RunFolder(folder).config()
    assert config.network.normalization == "binary"
    assert config.techniques == (SelfBinarizing((1, 50), (1, 10), 0.75, order),)
    rows = RunFolder(folder).log()
    assert [row["epoch"] for row in rows] == [1, 2]
    # Soft after the first epoch; in the end, what training sees is what ships.
    assert rows[0]["val_smooth_loss"] != rows[0]["val_loss"]
    assert rows[-1]["val_smooth_accuracy"] == rows[-1]["val_accuracy"]
    assert (rows[-1]["kernel_sharpness"], rows[-1]["input_sharpness"]) == (50.0, 10.0)
    assert {*MEASURES, "stem_bn/input_saturation"} <= set(rows[0])
    if order == "layer_by_layer":
        assert rows[0]["kernel_hard_layers"] < rows[-1]["kernel_hard_layers"] == 3
    assert (folder / "weights.png").read_bytes().startswith(b"\x89PNG")
    assert run_kbnn("convert", folder).returncode == 0


@pytest.mark.slow
def test_a_run_with_the_tanh_surrogate_is_hard_and_ships(run_kbnn, settings, tmp_path):
    folder = tmp_path / "run"
    method = (*SURROGATE, "--set", "inputs=1:4")
    process = run_kbnn("train", *settings(epochs=2), *method, "--run", folder)
    assert process.returncode == 0, process.stderr
    config = RunFolder(folder).config()
    assert config.network.normalization == "batch"
    assert config.techniques == (TanhSurrogate((1, 10), (1, 4)),)
    rows = RunFolder(folder).log()
    assert (rows[-1]["kernel_sharpness"], rows[-1]["input_sharpness"]) == (10.0, 4.0)
    assert {*MEASURES, "conv_1/input_saturation"} <= set(rows[0])
    model = keras.models.load_model(folder / "model.keras")
    signs = [one for one in model.submodules if isinstance(one, SmoothSign)]
    assert {float(one.hard_forward) for one in signs} == {1.0}
    assert len(signs) == 6
    assert run_kbnn("convert", folder).returncode == 0


@pytest.mark.slow
def test_first_and_last_layer_are_binary_on_request(run_kbnn, settings, tmp_path):
    folder = tmp_path / "run"
    ends = ("--set", "binary_stem=true", "--set", "binary_classifier=true")
    process = run_kbnn("train", *settings(epochs=1), *ends, "--run", folder)
    assert process.returncode == 0, process.stderr
    assert run_kbnn("train", "--resume", *ends, "--run", folder).returncode == 0
    process = run_kbnn("convert", folder, "--json")
    assert process.returncode == 0, process.stderr
    report = json.loads(process.stdout)["report"]
    operators = [layer["operator"] for layer in report["layers"]]
    assert operators.count("LceBconv2d") == 5
    assert not {"CONV_2D", "FULLY_CONNECTED"} & set(operators)
