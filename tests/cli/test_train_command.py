import csv
import dataclasses
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
from kbnn.runs import InputError, RunConfig, RunFailed, run, train_run
from kbnn.runs import callbacks as run_callbacks
from kbnn.runs.folder import RunFolder
from kbnn.runs.run_model import build_model
from kbnn.runs.run_request import _settings_of, remarks
from kbnn.runs.run_teacher import load_teacher

runner = CliRunner()

SMOOTH = ("--method", "self-binarizing")


def train(*arguments):
    """Run `kbnn train` in this process; for what ends before the training."""
    return runner.invoke(app, ["train", *map(str, arguments)])


def check_that_it_may_move(run_kbnn, folder, setting, first, moved):
    """A run that begins with another one's network finds it elsewhere, but none in its place."""
    folder.result_file.unlink()
    shutil.copytree(first, moved)
    content = json.loads(folder.config_file.read_text())
    content["settings"][setting] = str(moved)
    folder.config_file.write_text(json.dumps(content))
    assert run_kbnn("train", "--resume", "--run", folder.path).returncode == 0
    shutil.copyfile(folder.model_file, moved / "model.keras")
    folder.result_file.unlink()
    process = run_kbnn("train", "--resume", "--run", folder.path)
    assert process.returncode == 2
    assert "to hold the run that this one began with" in " ".join(process.stderr.split())


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
    assert (config.data_dir, config.width, config.seed) == (str(images), 8, 3)
    assert config.learning_rate == 0.005
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
    options = ("--model", model, "--clip-norm", 5, "--input-quantizer", "approx_sign")
    process = run_kbnn("train", *settings(epochs=1), *options, "--run", folder, "--json")
    assert process.returncode == 0, process.stderr
    config = json.loads((folder / "config.json").read_text())["settings"]
    assert (config["model"], config["clip_norm"]) == (model, 5.0)


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
        (["--data", "fasion_mnist"], "fashion_mnist_sample"),
        (["--data", "fashion_mnist_sample", "--model", "resnet"], "vgg_tiny, vgg_small, resnet20"),
        (["--data", "fashion_mnist_sample", "--optimizer", "lion"], "adam, sgd"),
        (["--data", "fashion_mnist_sample", "--schedule", "step"], "cosine, constant"),
        (["--data", "fashion_mnist_sample", "--augment", "mixup"], "none, crop, flip, both"),
        (["--data", "fashion_mnist_sample", "--input-quantizer", "relu"], "ste_sign, approx_sign"),
        (["--data", "fashion_mnist_sample", "--kernel-quantizer", "int8"], "magnitude_aware_sign"),
        (["--data", "fashion_mnist_sample", "--preprocessing", "both"], "inside, pipeline"),
        (["--data", "fashion_mnist_sample", "--epochs", "0"], "--epochs to be a positive integer"),
        (["--data", "fashion_mnist_sample", "--width", "-8"], "--width to be a positive integer"),
        (["--data", "fashion_mnist_sample", "--seed", "-1"], "--seed"),
        (["--data", "fashion_mnist_sample", "--learning-rate", "nan"], "--learning-rate"),
        (["--data", "fashion_mnist_sample", "--clip-norm", "0"], "--clip-norm to be a positive"),
        (["--data", "fashion_mnist_sample", "--validation", "1.5"], "validation"),
        (["--data", "fashion_mnist_sample", "--image-size", "big"], "HEIGHTxWIDTH"),
        (["--data", "fashion_mnist_sample", "--method", "magic"], "one of self-binarizing"),
        (
            ["--data", "fashion_mnist_sample", "--kernel-sharpness", "1:9"],
            "--kernel-sharpness with --kernel-quantizer smooth_sign alone",
        ),
        (
            ["--data", "fashion_mnist_sample", *SMOOTH, "--kernel-sharpness", "9"],
            "--kernel-sharpness to be FIRST:LAST",
        ),
        (
            ["--data", "fashion_mnist_sample", *SMOOTH, "--input-sharpness", "1:-9"],
            "--input-sharpness to be two positive numbers",
        ),
        (["--data", "fashion_mnist_sample", "--hard-forward-from", "2"], "to be a share"),
        (
            ["--data", "fashion_mnist_sample", "--model", "resnet20", "--normalization", "binary"],
            "it is for chains",
        ),
        (
            ["--data", "fashion_mnist_sample", "--sharpness-hold", "0.3"],
            "--sharpness-hold with a smooth_sign alone",
        ),
        (
            ["--data", "fashion_mnist_sample", *SMOOTH, "--sharpness-hold", "2"],
            "--sharpness-hold to be a share",
        ),
        (
            ["--data", "fashion_mnist_sample", "--kernel-hard-forward-from", "0"],
            "--kernel-hard-forward-from with --kernel-quantizer smooth_sign alone",
        ),
        (
            ["--data", "fashion_mnist_sample", "--hard-forward-from", "0"],
            "--hard-forward-from with --input-quantizer smooth_sign alone",
        ),
        (
            ["--data", "fashion_mnist_sample", "--kernel-quantizer", "none", "--kernel-scale", "2"],
            "--kernel-scale with a --kernel-quantizer alone",
        ),
        (
            ["--data", "fashion_mnist_sample", "--model", "resnet20", "--binary-stem"],
            "--binary-stem with --model vgg_tiny, vgg_small, alexnet and quantizers alone",
        ),
        (
            ["--data", "fashion_mnist_sample", "--input-quantizer", "none", "--binary-classifier"],
            "--binary-classifier with --model",
        ),
        (["--data", "folder", "--data-dir", "/nowhere"], "/nowhere"),
        (["--data", "folder"], "directory"),
        (["--data", "fashion_mnist_sample", "--data-dir", "."], "directory to be None"),
        ([], "--data NAME"),
        (["--resume"], "does not exist"),
        (["--data", "fashion_mnist_sample", "--epochs", "many"], "--epochs"),
    ],
)
def test_bad_input_is_refused_before_the_folder_is_made(options, message, tmp_path):
    result = train(*options, "--run", tmp_path / "run")
    assert result.exit_code == 2
    assert message in re.sub(r"\s+", " ", result.stderr)
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "run").exists()


def test_broken_config_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{")
    assert "Expected JSON" in train("--resume", "--run", tmp_path).stderr
    (tmp_path / "config.json").write_text('{"settings": {"dataset": "mnist"}}')
    result = train("--resume", "--run", tmp_path)
    assert result.exit_code == 2
    assert "Expected the settings" in result.stderr


@pytest.mark.parametrize(
    ("setting", "value"), [("epochs", 30), ("learning_rate", 0.1), ("seed", 4), ("data", "mnist")]
)
def test_an_edited_config_is_not_resumed(setting, value, finished, tmp_path):
    content = json.loads((finished[0] / "config.json").read_text())
    content["settings"][setting] = value
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
    content["settings"]["data_dir"] = "/elsewhere"
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
    with pytest.raises(InputError, match=r"epochs=5 \(the run has 3\)"):
        train_run(RunConfig(data="mnist", epochs=5), finished[0], resume=True)


def test_other_versions_are_noted(finished, tmp_path):
    saved = json.loads((finished[0] / "config.json").read_text())
    saved["versions"]["larq"] = "0.0"
    (tmp_path / "config.json").write_text(json.dumps(saved))
    (tmp_path / "result.json").write_text((finished[0] / "result.json").read_text())
    assert "larq 0.0 -> " in train("--resume", "--run", tmp_path).stderr


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
        run._finish(model, test, RunConfig(data="mnist"), folder)
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
        *("--validation", "0", "--preprocessing", "pipeline"),
        command=[sys.executable, "-c", code],
    )
    assert process.returncode == 0, process.stderr
    assert "No curves.png: it needs matplotlib" in process.stderr
    assert not (folder / "curves.png").exists()
    assert json.loads((folder / "result.json").read_text())["best_epoch"] is None
    assert not (folder / "checkpoints" / "best.keras").exists()


def test_a_self_binarizing_run_logs_its_sharpness_and_ships(run_kbnn, settings, tmp_path):
    folder = tmp_path / "run"
    method = ("--method", "self-binarizing", "--kernel-sharpness", "1:50")
    method += ("--kernel-hard-forward-from", "0.5")
    process = run_kbnn("train", *settings(epochs=2), *method, "--run", folder)
    assert process.returncode == 0, process.stderr
    config = RunFolder(folder).config()
    assert (config.kernel_quantizer, config.normalization) == ("smooth_sign", "binary")
    assert (config.kernel_sharpness, config.input_sharpness) == ((1.0, 50.0), (1.0, 3.0))
    assert (config.hard_forward_from, config.kernel_hard_forward_from) == (0.0, 0.5)
    rows = RunFolder(folder).log()
    assert [row["epoch"] for row in rows] == [1, 2]
    # Hard in the forward pass, both: what training sees is what ships.
    assert rows[-1]["val_smooth_accuracy"] == rows[-1]["val_accuracy"]
    assert (rows[-1]["kernel_sharpness"], rows[-1]["input_sharpness"]) == (50.0, 3.0)
    assert {
        "conv_1/kernel_flip_ratio",
        "conv_1/kernel_residual",
        "stem_bn/input_saturation",
    } <= set(rows[0])
    assert (folder / "weights.png").read_bytes().startswith(b"\x89PNG")
    assert run_kbnn("convert", folder).returncode == 0


def test_a_run_goes_on_with_the_network_of_another(run_kbnn, finished, tmp_path):
    first, _ = finished
    method = ("--method", "noisy-supervision", "--from", first, "--noise-rate", "0.2:0.1")
    run = ("train", *method, "--epochs", "2", "--seed", "5", "--run", tmp_path / "run")
    process = run_kbnn(*run)
    assert process.returncode == 0, process.stderr
    folder = RunFolder(tmp_path / "run")
    config, before = folder.config(), RunFolder(first).config()
    assert (config.data, config.width, config.augment) == ("folder", 8, "both")
    # The images that the first one held out, in spite of another seed.
    assert (config.seed, config.split, before.split) == (5, 3, 3)
    assert (config.noise_rate, config.mapping) == ((0.2, 0.1), "full")
    assert (config.learning_rate, before.learning_rate) == (0.001, 0.005)
    assert {"conv_1/kernel_disagreement", "conv_1/kernel_flips"} <= set(folder.log()[0])
    assert run_kbnn("convert", folder.path).returncode == 0
    assert run_kbnn("train", "--resume", "--run", folder.path).returncode == 0  # finished
    check_that_it_may_move(run_kbnn, folder, "pretrained", first, tmp_path / "moved")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--width", "16"], "Expected --width 8, as the network in"),
        (["--resume"], "Expected --from or --resume"),
        (["--noise-rate", "0.1"], "--noise-rate with --kernel-quantizer learned_sign alone"),
        (["--method", "noisy-supervision", "--noise-rate", "0.6"], "sum is below 1"),
        (["--method", "noisy-supervision", "--noise-rate", "much"], "--noise-rate to be RATE"),
        (["--method", "noisy-supervision", "--noise-rate", "nan"], "Expected --noise-rate"),
        (["--method", "noisy-supervision", "--mapping", "small"], "Expected --mapping"),
        (["--method", "noisy-supervision", "--auxiliary-weight=-1"], "--auxiliary-weight"),
        (
            ["--method", "noisy-supervision", "--kernel-quantizer", "ste_sign"],
            "Expected --kernel-quantizer learned_sign with --method noisy-supervision",
        ),
    ],
)
def test_bad_options_of_a_run_that_goes_on(run_kbnn, finished, tmp_path, options, message):
    process = run_kbnn("train", "--from", finished[0], *options, "--run", tmp_path / "run")
    assert process.returncode == 2
    assert message in " ".join(process.stderr.split())
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_first_and_last_layer_are_binary_on_request(run_kbnn, settings, tmp_path):
    folder = tmp_path / "run"
    ends = ("--binary-stem", "--binary-classifier")
    process = run_kbnn("train", *settings(epochs=1), *ends, "--run", folder)
    assert process.returncode == 0, process.stderr
    assert run_kbnn("train", "--resume", *ends, "--run", folder).returncode == 0
    process = run_kbnn("convert", folder, "--json")
    assert process.returncode == 0, process.stderr
    report = json.loads(process.stdout)["report"]
    operators = [layer["operator"] for layer in report["layers"]]
    assert operators.count("LceBconv2d") == 5
    assert not {"CONV_2D", "FULLY_CONNECTED"} & set(operators)


def by_teacher(finished, images, **settings):
    """The settings of a run that the finished one can teach."""
    settings = {"seed": 3, "validation": 0.1, **settings}
    return RunConfig(data="folder", data_dir=str(images), teacher=str(finished[0]), **settings)


def test_a_run_learns_from_a_teacher(run_kbnn, settings, finished, tmp_path):
    first, _ = finished
    own = ("--seed", "5", "--feature-weight", "0.5", "--temperature", "2")
    own += ("--input-quantizer", "approx_sign")
    command = ("train", *settings(epochs=2), *own, "--teacher", first)
    process = run_kbnn(*command, "--run", tmp_path / "run")
    assert process.returncode == 0, process.stderr
    folder = RunFolder(tmp_path / "run")
    config = folder.config()
    assert (config.teacher, config.latent, config.real_weight) == (str(first), "none", None)
    assert (config.distillation_weight, config.temperature) == (1.0, 2.0)
    # The images that the teacher has not seen, in spite of another seed.
    assert (config.seed, config.split, RunFolder(first).config().split) == (5, 3, 3)
    log = folder.log()
    names = {"distillation", "feature_alignment", "real_accuracy", "val_real_accuracy"}
    assert names <= set(log[0])
    # The teacher stays as it is, and knows what it knew.
    assert log[0]["val_real_loss"] == log[1]["val_real_loss"]
    known = RunFolder(first).log()[-1]
    assert log[0]["val_real_loss"] == pytest.approx(known["val_loss"], rel=1e-5)
    assert log[0]["val_real_accuracy"] == pytest.approx(known["val_accuracy"])
    assert run_kbnn("convert", folder.path).returncode == 0
    of_teacher, of_run = (
        keras.models.load_model(path / "model.keras", compile=False).count_params()
        for path in (first, folder.path)
    )
    assert of_teacher == of_run
    check_that_it_may_move(run_kbnn, folder, "teacher", first, tmp_path / "moved")


def test_the_terms_of_a_teacher(finished, images):
    config = by_teacher(finished, images)
    (term,) = config.supervision(100)
    assert (term.name, term.weight, term.temperature) == ("distillation", 1.0, 1.0)
    weights = {"feature_weight": 2.0, "teacher_contrast_weight": 0.2}
    config = by_teacher(finished, images, distillation_weight=0.3, **weights)
    assert [(term.name, term.weight) for term in config.supervision(100)] == [
        ("distillation", 0.3),
        ("feature_alignment", 2.0),
        ("teacher_contrast", 0.2),
    ]
    twin = RunConfig(data="fashion_mnist_sample", latent="twin", real_weight=0.5)
    assert [(term.name, term.weight) for term in twin.supervision(100)] == [
        ("real_path", 0.5),
        ("distillation", 0.3),
    ]
    # Its place is none of the settings that the weights depend on; the network is.
    place = dataclasses.replace(config, teacher="/elsewhere")
    assert place.digest() == config.digest()
    other = dataclasses.replace(config, teacher_sha256="0" * 64)
    assert other.digest() != config.digest()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--latent", "twin"], "--teacher without --latent, a training of its own"),
        (["--method", "latent-weights"], "Received: --latent twin"),
        (["--latent", "gradient"], "Received: --latent gradient"),
        (["--real-weight", "1"], "--real-weight with --latent twin alone"),
        (
            ["--distillation-weight", "0"],
            "--distillation-weight, --feature-weight, --teacher-contrast-weight above 0",
        ),
        (["--temperature", "0"], "--temperature to be a positive"),
        (["--distillation-weight=-1"], "--distillation-weight to be a finite number"),
    ],
)
def test_bad_options_beside_a_teacher(options, message, finished, settings, tmp_path):
    teacher = ("--teacher", finished[0])
    result = train(*settings(epochs=1), *teacher, *options, "--run", tmp_path / "run")
    assert result.exit_code == 2
    assert message in re.sub(r"\s+", " ", result.stderr)
    assert not (tmp_path / "run").exists()


def test_a_teacher_is_the_folder_of_a_finished_run(settings, finished, tmp_path):
    result = train(*settings(epochs=1), "--teacher", "/nowhere", "--run", tmp_path / "run")
    assert result.exit_code == 2
    assert "/nowhere, which does not exist" in re.sub(r"\s+", " ", result.stderr)
    shutil.copytree(finished[0], tmp_path / "teacher")
    (tmp_path / "teacher" / "model.keras").unlink()
    teacher = ("--teacher", tmp_path / "teacher")
    result = train(*settings(epochs=1), *teacher, "--run", tmp_path / "run")
    assert result.exit_code == 2
    assert "--teacher to be the folder of a finished run" in re.sub(r"\s+", " ", result.stderr)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"data": "fashion_mnist_sample", "data_dir": None}, "--data, fashion_mnist_sample"),
        ({"data_dir": "/elsewhere"}, "a run on the data in /elsewhere"),
        ({"image_size": (16, 16)}, r"--image-size, \(16, 16\)"),
        ({"preprocessing": "pipeline"}, "--preprocessing, pipeline. Received: inside"),
        ({"validation": 0.2}, r"--validation, 0\.2"),
        ({"seed": 4}, "the seed 4 of the split. Received: 3"),
    ],
)
def test_a_teacher_of_other_images_is_refused(changed, message, finished, images):
    config = by_teacher(finished, images)
    assert load_teacher(config).count_params() > 0
    with pytest.raises(InputError, match=message):
        load_teacher(dataclasses.replace(config, **changed))
    # Another seed with the same split is another training on the same images.
    taught = dataclasses.replace(config, seed=4, split_seed=3)
    assert load_teacher(taught).count_params() > 0


def test_a_teacher_that_does_not_fit_leaves_no_folder(run_kbnn, settings, finished, tmp_path):
    command = ("train", *settings(epochs=1), "--teacher", finished[0], "--run", tmp_path / "run")
    process = run_kbnn(*command, "--validation", "0.2")
    assert process.returncode == 2
    assert "a run with this one's --validation" in " ".join(process.stderr.split())
    process = run_kbnn(*command, "--feature-weight", "1", "--width", "12")
    assert process.returncode == 2
    assert "features of one shape" in " ".join(process.stderr.split())
    assert "Traceback" not in process.stderr
    assert not (tmp_path / "run").exists()


def test_what_may_not_be_meant_is_said(tmp_path):
    settings = {"data": "fashion_mnist_sample", "kernel_quantizer": "learned_sign"}
    assert "--from RUN" in remarks(RunConfig(**settings))[0]
    assert remarks(RunConfig(data="fashion_mnist_sample")) == []
    first = RunFolder(tmp_path)
    first.config_file.write_text(json.dumps({"settings": RunConfig(**settings).to_dict()}))
    first.model_file.write_bytes(b"a network")
    assert remarks(RunConfig(**settings, pretrained=str(tmp_path))) == []
    (said,) = remarks(RunConfig(**{**settings, "data": "mnist"}, pretrained=str(tmp_path)))
    assert "was trained on fashion_mnist_sample, and goes on with mnist" in said


@pytest.mark.parametrize("kind", ["input", "kernel"])
def test_a_method_leaves_out_what_belongs_to_a_quantizer_that_is_another(kind):
    whole = _settings_of("self-binarizing", {})
    assert RunConfig(data="fashion_mnist_sample", **whole).kernel_hard_forward_from == 0.0
    given = {f"{kind}_quantizer": "ste_sign"}
    settings = {**_settings_of("self-binarizing", given), **given}
    config = RunConfig(data="fashion_mnist_sample", **settings)
    assert getattr(config, f"{kind}_sharpness") is None
    assert len(settings) == len(whole) - 2


def test_a_noise_rate_may_be_one_number():
    config = RunConfig(data="fashion_mnist_sample", kernel_quantizer="learned_sign", noise_rate=0.2)
    assert config.noise_rate == (0.2, 0.2)
    for wrong in (True, "0.1", (0.1, 0.2, 0.3)):
        with pytest.raises(InputError, match="Expected --noise-rate"):
            RunConfig(
                data="fashion_mnist_sample", kernel_quantizer="learned_sign", noise_rate=wrong
            )


def test_smooth_signs_that_stay_keep_their_schedule(tmp_path):
    inputs = {"input_sharpness": (1, 3), "hard_forward_from": 0.0}
    kernels = {"kernel_sharpness": (1, 50), "kernel_hard_forward_from": 0.8}
    schedule = {**inputs, **kernels, "sharpness_hold": 0.2}
    first = RunConfig(
        data="fashion_mnist_sample",
        input_quantizer="smooth_sign",
        kernel_quantizer="smooth_sign",
        **schedule,
    )
    (tmp_path / "model.keras").write_bytes(b"a network")
    more = RunConfig.going_on(first, tmp_path)
    assert {name: getattr(more, name) for name in schedule} == schedule
    changed = RunConfig.going_on(first, tmp_path, input_quantizer="ste_sign")
    assert (changed.input_sharpness, changed.hard_forward_from) == (None, 1.0)
    assert {name: getattr(changed, name) for name in kernels} == kernels


def test_a_network_without_quantizers_has_none_to_replace():
    real = RunConfig(data="fashion_mnist_sample", kernel_quantizer="none", input_quantizer="none")
    with pytest.raises(InputError, match="--from a run with --kernel-quantizer"):
        RunConfig.going_on(real, "runs/real", kernel_quantizer="learned_sign")


def test_settings_of_learned_signs_reach_the_quantizer(tmp_path):
    settings = {"data": "fashion_mnist_sample", "kernel_quantizer": "learned_sign"}
    of_signs = {"noise_rate": (0.2, 0.1), "mapping": "bottleneck", "loss_on": "hard"}
    config = RunConfig(**settings, **of_signs, auxiliary_weight=0.5, residual_scale=0.3)
    found = build_model(config).get_layer("conv_1").kernel_quantizer.get_config()
    expected = {**of_signs, "noise_rate": [0.2, 0.1], "weight": 0.5, "residual_scale": 0.3}
    assert {name: found[name] for name in expected} == expected
    assert found["start"] == "residual"
    random = RunConfig(**settings, mapping_start="random")
    assert (random.learned_sign().start, random.residual_scale) == ("random", None)
    with pytest.raises(InputError, match="Expected --residual-scale with --mapping-start residual"):
        RunConfig(**settings, mapping_start="random", residual_scale=0.3)
    (tmp_path / "model.keras").write_bytes(b"a network")
    assert RunConfig.going_on(config, tmp_path).residual_scale == 0.3
    assert RunConfig.going_on(config, tmp_path, mapping_start="random").residual_scale is None
