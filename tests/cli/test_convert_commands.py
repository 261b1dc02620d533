"""`kbnn convert`, `verify` and `inspect`, on a run and on models without one."""

import dataclasses
import json
import shutil
import zipfile

import numpy as np
import pytest
import tf_keras as keras
from typer.testing import CliRunner

from kbnn import converters, models
from kbnn.cli.main import app
from kbnn_runtime import Interpreter

runner = CliRunner()


def kbnn(*arguments):
    return runner.invoke(app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def converted(finished, tmp_path_factory):
    """A device file of the finished run, and the command's result."""
    file = tmp_path_factory.mktemp("device") / "device.tflite"
    result = kbnn("convert", finished[0], "--output", file, "--json")
    assert result.exit_code == 0, result.stderr
    return file, result


@pytest.fixture(scope="module")
def small_model(tmp_path_factory):
    """An untrained model that takes float32, as a `.keras` file."""
    file = tmp_path_factory.mktemp("models") / "small.keras"
    models.vgg_tiny((12, 12, 1), 3, width=8).save(file)
    return file


def altered(file, path):
    """The file with one weight of the classifier, its last layer, made another."""
    content = bytearray(file.read_bytes())
    model = keras.models.load_model(path, compile=False)
    bias = model.get_layer("logits").get_weights()[1].astype("<f4").tobytes()
    assert content.count(bias) == 1
    start = content.index(bias)
    content[start : start + len(bias)] = np.float32([9, -9, 9]).tobytes()
    return bytes(content)


def test_convert_verifies_on_the_data_of_the_run(converted):
    file, result = converted
    document = json.loads(result.stdout)
    assert document["path"] == str(file)
    assert document["verified"] is True
    assert document["report"]["parity"]["samples"] == 40
    assert document["report"]["parity"]["passed"] is True
    assert file.read_bytes()[4:8] == b"TFL3"


def test_convert_writes_a_sidecar_with_the_names_of_the_classes(converted):
    file, result = converted
    sidecar = file.with_suffix(".json")
    assert json.loads(result.stdout)["sidecar"] == str(sidecar)
    document = json.loads(sidecar.read_text())
    assert document["labels"] == ["0", "1", "2"]
    assert document["preprocessing"] == {"dtype": "uint8", "scale": 1.0, "offset": 0.0}
    assert document["scores"] == "logits"
    images = np.zeros((1, *Interpreter(file).inputs[0].shape[1:]), np.uint8)
    assert Interpreter(file).classify(images)[0][0].label in document["labels"]


def test_a_model_without_data_has_a_sidecar_without_names(small_model, tmp_path):
    file = tmp_path / "small.tflite"
    result = kbnn("convert", small_model, "--output", file, "--no-verify")
    assert result.exit_code == 0, result.stderr
    document = json.loads((tmp_path / "small.json").read_text())
    assert "labels" not in document
    assert document["preprocessing"] == {"dtype": "float32", "scale": 1 / 127.5, "offset": -1.0}


def test_a_file_that_is_no_sidecar_is_not_replaced(small_model, tmp_path):
    other = tmp_path / "small.json"
    other.write_text("[]")
    result = kbnn("convert", small_model, "--output", tmp_path / "small.tflite", "--no-verify")
    assert (result.exit_code, "which is another file" in result.stderr) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["small.json"]
    assert other.read_text() == "[]"


@pytest.mark.lce
def test_benchmark_times_both_interpreters(converted):
    result = kbnn("benchmark", converted[0], "--runs", 5, "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    names = [row["interpreter"] for row in document["latency"]]
    assert names == ["kbnn-runtime", "lce"]
    assert all(row["median"] > 0 for row in document["latency"])
    table = kbnn("benchmark", converted[0], "--runs", 5, "--interpreter", "lce")
    assert ("kbnn-runtime" in table.stdout, "lce" in table.stdout) == (False, True)


@pytest.mark.parametrize(
    "arguments", [("absent.tflite",), (__file__,), (__file__, "--interpreter", "tflite")]
)
def test_benchmark_refuses_what_it_cannot_run(arguments):
    result = kbnn("benchmark", *arguments)
    assert (result.exit_code, "Expected" in result.stderr) == (2, True)


def test_int8_is_calibrated_on_the_data_of_the_run(finished, tmp_path):
    file = tmp_path / "int8.tflite"
    agreement = ("--int8-agreement", 0.5)  # three epochs leave many images between two classes
    result = kbnn("convert", finished[0], "--output", file, "--int8", *agreement, "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)["report"]
    assert report["parity"]["int8"] is True
    outputs = [layer["output"] for layer in report["layers"]]
    assert (outputs[0], outputs[-1]) == ("int8", "int8")
    assert {"bit-packed", "float32"} == set(outputs[1:-1])
    assert kbnn("verify", finished[0], file, *agreement).exit_code == 0
    assert kbnn("verify", finished[0], file, "--int8-agreement", 7).exit_code == 2
    no_number = kbnn("verify", finished[0], file, "--int8-agreement", "nan")
    assert "--int8-agreement" in no_number.stderr
    assert no_number.exit_code == 2


def test_int8_for_everything_with_integers_as_outputs(finished, tmp_path):
    file = tmp_path / "int8.tflite"
    options = ("--int8-all", "--output-type", "uint8", "--int8-agreement", 0.5, "--json")
    result = kbnn("convert", finished[0], "--output", file, *options)
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)["report"]
    assert {layer["output"] for layer in report["layers"]} == {"int8", "bit-packed"}
    assert [tensor.dtype.name for tensor in Interpreter(file).outputs] == ["uint8"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--int8-agreement", 0.5), "--int8-agreement together with --int8"),
        (("--input-type", "int8"), "--input-type together with --int8"),
        (("--output-type", "int8"), "--output-type together with --int8"),
        (("--int8", "--converter", "lce"), "Expected --int8-all"),
    ],
)
def test_options_of_int8_that_do_not_fit_together(finished, tmp_path, options, message):
    result = kbnn("convert", finished[0], "--output", tmp_path / "int8.tflite", *options)
    assert (result.exit_code, message in result.stderr) == (2, True)


def test_a_model_of_bytes_takes_no_other_type(finished, tmp_path):
    options = ("--int8", "--input-type", "int8")
    result = kbnn("convert", finished[0], "--output", tmp_path / "int8.tflite", *options)
    assert (result.exit_code, "Expected --input-type for a model" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    "interpreter", ["kbnn-runtime", pytest.param("lce", marks=pytest.mark.lce)]
)
def test_verify_passes_on_the_file_of_the_run(finished, converted, interpreter):
    named = ("--interpreter", interpreter)
    result = kbnn("verify", finished[0], converted[0], *named, "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["interpreter"] == interpreter
    assert document["passed"] is True
    assert document["class_agreement"] == 1.0


def test_verify_fails_on_an_altered_file(finished, converted, tmp_path):
    file = tmp_path / "altered.tflite"
    file.write_bytes(altered(converted[0], finished[0] / "model.keras"))
    result = kbnn("verify", finished[0], file, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["passed"] is False
    assert "Failed: " in result.stderr


def test_inspect_shows_a_file(converted):
    result = kbnn("inspect", converted[0])
    assert result.exit_code == 0
    assert result.stdout.count("LceBconv2d") == 3
    assert "bit-packed" in result.stdout
    document = json.loads(kbnn("inspect", converted[0], "--json").stdout)
    assert isinstance(document, dict)


@pytest.mark.parametrize("options", [[], ["--best"]])
def test_inspect_shows_the_layers_of_a_run(options, finished):
    result = kbnn("inspect", finished[0], "--json", *options)
    layers = json.loads(result.stdout)["layers"]
    assert [layer["layer"] for layer in layers if layer["binary"]] == ["conv_1", "conv_2", "conv_3"]
    assert set(layers[0]) == {"layer", "kind", "binary", "problem", "note", "warning"}
    table = kbnn("inspect", finished[0], *options).stdout
    assert "QuantConv2D" in table
    assert "real-valued layer" in table


@pytest.mark.slow
@pytest.mark.parametrize("form", ["keras", "h5", "saved_model"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_every_form_of_a_model_converts(form, small_model, images, tmp_path):
    path = tmp_path / ("folder" if form == "saved_model" else f"model.{form}")
    model = keras.models.load_model(small_model, compile=False)
    model.save(path, **({"save_format": "tf"} if form == "saved_model" else {}))
    result = kbnn("convert", path, "--data", "folder", "--data-dir", images)
    assert result.exit_code == 0, result.stderr
    assert path.with_suffix(".tflite").is_file()


def test_convert_without_verification_needs_no_data(small_model, tmp_path):
    file = tmp_path / "unverified.tflite"
    result = kbnn("convert", small_model, "--no-verify", "--output", file)
    assert result.exit_code == 0, result.stderr
    assert "not verified" in result.stderr
    assert file.is_file()


def test_a_refused_conversion_leaves_the_old_file(tmp_path):
    model = models.vgg_tiny((12, 12, 1), 3, width=8)
    kernel = model.get_layer("stem").kernel
    kernel.assign(kernel * np.nan)
    model.save(tmp_path / "broken.keras")
    file = tmp_path / "broken.tflite"
    file.write_text("the old one")
    result = kbnn("convert", tmp_path / "broken.keras", "--no-verify")
    assert result.exit_code == 1
    assert "stem" in result.stderr
    assert "Traceback" not in result.stderr
    assert file.read_text() == "the old one"


def test_a_failed_verification_is_shown(finished, converted, monkeypatch, tmp_path):
    file = tmp_path / "altered.tflite"
    file.write_bytes(altered(converted[0], finished[0] / "model.keras"))
    measured = json.loads(kbnn("verify", finished[0], file, "--json").stdout)
    failures = [*measured["failures"], "`int8_agreement` asks for 0.95"]

    def refuse(model, path, *, verify_data, **options):
        parity = converters.verify(model, file, verify_data)
        raise converters.VerificationError(dataclasses.replace(parity, failures=failures))

    monkeypatch.setattr(converters, "convert", refuse)
    result = kbnn("convert", finished[0], "--output", tmp_path / "new.tflite", "--json")
    assert result.exit_code == 1
    parity = {**measured, "failures": failures}
    assert json.loads(result.stdout) == {"path": None, "verified": False, "parity": parity}
    assert "does not agree with Keras" in result.stderr
    assert "--int8-agreement asks for 0.95" in result.stderr


def test_bad_input_of_convert(finished, small_model, images, tmp_path):
    (tmp_path / "text.keras").write_text("no model")
    (tmp_path / "text.h5").write_text("no model")
    (tmp_path / "empty").mkdir()
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    shutil.copy(finished[0] / "config.json", unfinished)
    of_images = ["--data", "folder", "--data-dir", images]
    for arguments, message in [
        ([tmp_path / "missing.keras"], "not found"),
        ([tmp_path / "text.keras"], "cannot be loaded"),
        ([tmp_path / "text.h5"], "cannot be loaded"),
        ([tmp_path / "empty"], "neither"),
        ([unfinished], "--resume"),
        ([unfinished, "--best"], "best.keras"),
        ([images / "data.npz"], "Expected a .keras or .h5 file"),
        ([small_model], "--data NAME"),
        ([small_model, "--best", *of_images], "--best"),
        ([small_model, "--data", "nist"], "fashion_mnist"),
        ([small_model, "--data", "fashion_mnist_sample"], "Expected images of shape (12, 12, 1)"),
        ([small_model, *of_images, "--allow-float", "conv_9"], "conv_1"),
        ([small_model, *of_images, "--output", tmp_path / "no" / "x.tflite"], "existing folder"),
    ]:
        result = kbnn("convert", *arguments)
        assert result.exit_code == 2, (arguments, result.stderr)
        assert message in result.stderr
        assert "Traceback" not in result.stderr
        assert result.stdout == ""


def test_bad_input_of_verify_and_inspect(finished, tmp_path):
    file = tmp_path / "text.tflite"
    file.write_text("no flatbuffer")
    for arguments in (
        ("verify", finished[0], file),
        ("verify", finished[0], tmp_path / "missing.tflite"),
        ("inspect", file),
        ("inspect", file, "--best"),
        ("inspect", tmp_path / "missing.tflite"),
        ("inspect", tmp_path / "missing"),
    ):
        result = kbnn(*arguments)
        assert result.exit_code == 2, (arguments, result.stderr)
        assert "Expected" in result.stderr
        assert "Received" in result.stderr
        assert "Traceback" not in result.stderr


def test_a_keras_file_cannot_import_other_modules(small_model, tmp_path):
    path = tmp_path / "hostile.keras"
    with zipfile.ZipFile(small_model) as archive, zipfile.ZipFile(path, "w") as hostile:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "config.json":
                content = content.replace(b'"module": "larq.layers"', b'"module": "antigravity"')
                assert b"antigravity" in content
            hostile.writestr(name, content)
    result = kbnn("inspect", path)
    assert result.exit_code == 2
    assert "antigravity" in result.stderr


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_pickled_lambda_is_not_loaded(suffix, tmp_path):
    image = keras.Input((12, 12, 1))
    lambda_layer = getattr(keras.layers, "Lambda")(lambda x: 2 * x)  # noqa: B009
    path = tmp_path / f"lambda.{suffix}"
    keras.Model(image, lambda_layer(image)).save(path)
    result = kbnn("inspect", path)
    assert result.exit_code == 2
    assert "cannot be loaded" in result.stderr
