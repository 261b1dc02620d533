"""The command `kbnn-run`."""

import io
import json
import pathlib
import subprocess
import sys
import tracemalloc
import zipfile

import models
import numpy as np
import pytest
from PIL import Image

from kbnn_runtime.cli import benchmark, main
from kbnn_runtime.tensor import Tensor

COMMAND = pathlib.Path(sys.executable).with_name("kbnn-run")
LABELS = ["cat", "dog", "bird"]


@pytest.fixture
def model(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "model.tflite"
    path.write_bytes(models.classifier())
    sidecar = {"format": 1, "preprocessing": {"dtype": "uint8"}, "labels": LABELS}
    path.with_suffix(".json").write_text(json.dumps(sidecar))
    return str(path)


@pytest.fixture
def archive(tmp_path: pathlib.Path) -> pathlib.Path:
    images = np.random.default_rng(1).integers(0, 256, (5, 4, 6), np.uint8)
    classes = (images.reshape(5, -1) @ models.weights().T).argmax(axis=1)
    # The last label is wrong.
    classes[-1] = (classes[-1] + 1) % 3
    path = tmp_path / "images.npz"
    np.savez(path, x_test=images, y_test=classes)
    return path


def test_classify_an_archive_with_its_classes(model, archive, capsys):
    assert main(["classify", model, str(archive)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines[:5]] == [f"x_test[{i}]" for i in range(5)]
    assert lines[5] == "accuracy: 0.8000 of 5 images"


def test_classify_as_json(model, archive, capsys):
    assert main(["classify", model, str(archive), "--json", "--top", "2"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["accuracy"] == 0.8
    first = document["images"][0]["predictions"]
    assert len(first) == 2
    assert first[0]["label"] == LABELS[first[0]["index"]]
    assert first[0]["score"] >= first[1]["score"]


def test_nan_scores_are_null_in_json(tmp_path, archive, capsys):
    path = tmp_path / "broken.tflite"
    path.write_bytes(models.classifier(kernel=np.full_like(models.weights(), np.nan)))
    assert main(["classify", str(path), str(archive), "--json", "--array", "x_test"]) == 0
    document = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert document["images"][0]["predictions"][0]["score"] is None


def test_classify_image_files(model, tmp_path, capsys):
    generator = np.random.default_rng(0)
    paths = [tmp_path / "gray.png", tmp_path / "colour.png"]
    for path, shape in zip(paths, ((40, 60), (4, 6, 3)), strict=True):
        Image.fromarray(generator.integers(0, 256, shape, np.uint8)).save(path)
    assert main(["classify", model, *map(str, paths), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [entry["image"] for entry in document["images"]] == list(map(str, paths))
    assert "accuracy" not in document


def test_classify_turns_photos_upright(model, tmp_path, capsys):
    upright = np.random.default_rng(0).integers(0, 256, (4, 6), np.uint8)
    straight, turned = tmp_path / "straight.png", tmp_path / "turned.png"
    Image.fromarray(upright).save(straight)
    exif = Image.Exif()
    # Orientation 6: the camera was turned, show it rotated by 90 degrees clockwise.
    exif[0x0112] = 6
    Image.fromarray(np.rot90(upright).copy()).save(turned, exif=exif)
    assert main(["classify", model, str(straight), str(turned), "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)["images"]
    assert first["predictions"] == second["predictions"]


def test_benchmark(model, capsys):
    assert main(["benchmark", model, "--runs", "5", "--profile"]) == 0
    shown = capsys.readouterr()
    assert "of 5 runs" in shown.out
    assert "FULLY_CONNECTED" in shown.out
    assert shown.err == ""


@pytest.mark.parametrize("json_option", [[], ["--json"]])
def test_benchmark_prints_the_time_if_the_profile_fails(json_option, tmp_path, capsys):
    path = tmp_path / "fixed.tflite"
    path.write_bytes(models.classifier(reshape_batch=1))
    options = ["--runs", "5", "--batch-size", "2", "--profile", *json_option]
    assert main(["benchmark", str(path), *options]) == 2
    shown = capsys.readouterr()
    assert "median" in shown.out
    assert "Expected sizes that the model can be resized to" in shown.err
    assert shown.err.count("\n") == 1


def test_benchmark_as_json(model, capsys):
    arguments = ["benchmark", model, "--runs", "9", "--batch-size", "3", "--profile", "--json"]
    assert main(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    percentiles = document["percentile_milliseconds"]
    assert 0 < document["minimum_milliseconds"] <= document["median_milliseconds"]
    assert percentiles["10"] <= document["median_milliseconds"] <= percentiles["90"]
    assert percentiles["90"] <= percentiles["99"]
    # A Python with NumPy and LiteRT takes tens of megabytes.
    assert 10e6 < document["peak_memory_bytes"] < 10e9
    assert len(document["profile"]["operators"]) == 4
    assert (document["batch_size"], document["runs"], document["threads"]) == (3, 9, 1)


def test_benchmark_on_given_inputs(model, tmp_path, capsys):
    path = tmp_path / "inputs.npz"
    np.savez(path, image=np.zeros((4, 4, 6, 1), np.uint8))
    assert main(["benchmark", model, "--runs", "2", "--input", str(path)]) == 0
    np.savez(path, photo=np.zeros((4, 4, 6, 1), np.uint8))
    assert main(["benchmark", model, "--runs", "2", "--input", str(path)]) == 2
    assert "Received: ['photo']" in capsys.readouterr().err


def test_info(model, capsys):
    assert main(["info", model]) == 0
    shown = capsys.readouterr().out
    assert "image: uint8 (n, 4, 6, 1)" in shown
    assert "1 FULLY_CONNECTED" in shown
    assert main(["info", model, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["bytes"] == len(models.classifier())
    assert document["inputs"][0]["shape"] == [None, 4, 6, 1]
    assert document["labels"] == LABELS
    assert "portable" in document["runtime"]["kernels"]


def assert_refused(arguments: list[str], message: str, capsys) -> None:
    """Expect exit code 2, and on standard error only one line with the message."""
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("kbnn-run: ")
    assert shown.err.count("\n") == 1
    assert message in shown.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "{folder}/none.tflite"], "none.tflite"),
        (["info", "{folder}/images.npz"], "Expected a model"),
        (["info", "{folder}"], "Received: a folder"),
        (["info", "{folder}/latin.tflite"], "tensor names are UTF-8"),
        (["classify", "{model}", "{folder}/none.png"], "none.png"),
        (["classify", "{model}", "{model}"], "Expected an image file"),
        (["classify", "{model}", "{folder}/none.npz"], "none.npz"),
        (["classify", "{model}", "{folder}/images.npz", "x.png"], "or a single .npz file"),
        (["classify", "{model}", "{folder}/images.npz", "--array", "z"], "--array"),
        (["classify", "{model}", "{folder}/images.npz", "--labels", "z"], "--labels"),
        (["classify", "{model}", "{folder}/images.npz", "--array", "y_test"], "Received"),
        (["classify", "{model}", "{folder}/images.npz", "--sidecar", "{folder}/no"], "no"),
        (["classify", "{model}", "x.png", "--array", "x"], "--array only for an .npz file"),
        (["classify", "{model}", "x.png", "--labels", "y"], "--labels only for an .npz file"),
        (["benchmark", "{model}", "--input", "{model}"], "Expected an .npz file"),
    ],
)
def test_wrong_input_is_one_line_on_stderr_and_exit_code_2(
    arguments, message, model, archive, capsys
):
    folder = str(archive.parent)
    (archive.parent / "latin.tflite").write_bytes(models.classifier().replace(b"gray", b"gr\xe4y"))
    given = [text.format(model=model, folder=folder) for text in arguments]
    assert_refused(given, message, capsys)


def images_and(**arrays) -> io.BytesIO:
    """Make an archive of two images and other arrays, which may replace the images."""
    file = io.BytesIO()
    np.savez(file, **{"images": np.zeros((2, 4, 6), np.uint8), **arrays})
    return file


def single_array() -> io.BytesIO:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file


def archive_of(name: str, content: bytes) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file


def huge_array() -> io.BytesIO:
    """Make an archive with an array that has no elements, but 10 ** 15 according to its header."""
    file = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (10**15,)}
    np.lib.format.write_array_header_1_0(file, header)
    return archive_of("images.npy", file.getvalue())


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (single_array(), "a single array"),
        (archive_of("images", b"text"), "with ['images']"),
        (huge_array(), "Expected an .npz file of plain arrays"),
        (images_and(images=np.uint8(3)), "Expected images along the first axis of 'images'"),
        (images_and(labels=np.int64(1)), "Received: labels of shape ()"),
        (images_and(labels=np.arange(3)), "Received: labels of shape (3,)"),
        (images_and(labels=np.array(["cat", "dog"])), "Received: labels of <U3"),
        (images_and(labels=np.zeros(2)), "Received: labels of float64"),
        (images_and(labels=np.array([0, 3])), "Expected labels from 0 to 2, the model's classes"),
        (images_and(labels=np.array([-1, 0])), "Received: -1 to 0"),
    ],
)
def test_wrong_archives_are_refused(file, message, model, tmp_path, capsys):
    path = tmp_path / "images.npz"
    path.write_bytes(file.getvalue())
    assert_refused(["classify", model, str(path)], message, capsys)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.uint8(3), "Received: ()"),
        (np.zeros((0, 4, 6, 1), np.uint8), "Received: 0 in"),
        (
            np.zeros((4, 4, 6, 1), np.uint8),
            "Expected at least 5 examples, the --batch-size. Received: 4 in",
        ),
    ],
)
def test_benchmark_refuses_too_few_inputs(array, message, model, tmp_path, capsys):
    path = tmp_path / "inputs.npz"
    np.savez(path, image=array)
    given = ["benchmark", model, "--batch-size", "5", "--input", str(path)]
    assert_refused(given, message, capsys)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "bool", "float32"])
def test_random_inputs_take_the_memory_of_one_batch(dtype):
    tensor = Tensor("image", (None, 100), np.dtype(dtype))
    tracemalloc.start()
    try:
        batch = benchmark.random_input(np.random.default_rng(0), tensor, 10_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (batch.shape, batch.dtype) == ((10_000, 100), tensor.dtype)
    assert len(np.unique(batch)) > 1
    assert peak < 1.1 * batch.nbytes


@pytest.mark.parametrize("size", [10**13, 10**20])
def test_benchmark_refuses_a_batch_larger_than_memory(size, model, capsys):
    message = "use a smaller --batch-size"
    assert_refused(["benchmark", model, "--batch-size", str(size)], message, capsys)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["info"],
        ["benchmark", "m", "--runs", "0"],
        ["benchmark", "m", "--input", ""],
        ["classify", "m", "x.png", "--sidecar", ""],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ('"$0" info "$1" 2>&-', 0),
        ('"$0" info "$1.none" 2>&-', 2),
        ('"$0" info "$1" 2>&- >&-', 1),
        # A file that can be read only once.
        ('cat "$1" | "$0" info /dev/stdin', 0),
    ],
)
def test_info_in_a_shell(command, code, model):
    arguments = ["sh", "-c", command, COMMAND, model]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, "")
    assert ("1 FULLY_CONNECTED" in done.stdout) == (code == 0)
    assert bool(done.stdout) == (code == 0)


def test_the_installed_command(model):
    done = subprocess.run([COMMAND, "info", model, "--json"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["bytes"] == len(models.classifier())
    failed = subprocess.run([COMMAND, "info", model + "x"], capture_output=True, text=True)
    assert (failed.returncode, failed.stdout) == (2, "")
