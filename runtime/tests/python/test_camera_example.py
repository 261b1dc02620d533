"""The script for the Raspberry Pi, without a camera and with a fake one."""

import pathlib
import subprocess
import sys
import types

import models
import numpy as np
import pytest
from PIL import Image

EXAMPLE = pathlib.Path(__file__).parents[3] / "examples" / "raspberry_pi" / "classify_camera.py"


@pytest.fixture
def model(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "model.tflite"
    path.write_bytes(models.classifier())
    return str(path)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, EXAMPLE, *arguments], capture_output=True, text=True)


def test_an_image_file(model, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    done = run(model, "--image", str(tmp_path / "photo.png"), "--top", "1")
    best = int((models.weights() @ pixels.reshape(-1)).argmax())
    assert done.returncode == 0, done.stderr
    assert f"  {best} " in done.stdout
    assert done.stdout.count("\n") == 1


def test_an_image_file_is_turned_upright(model, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6), np.uint8)
    best = int((models.weights() @ pixels.reshape(-1)).argmax())
    turned = np.rot90(pixels).copy()
    exif = Image.Exif()
    # Orientation 6: show it rotated by 90 degrees clockwise.
    exif[0x0112] = 6
    Image.fromarray(turned).save(tmp_path / "photo.png", exif=exif)
    done = run(model, "--image", str(tmp_path / "photo.png"), "--top", "1")
    assert f"  {best} " in done.stdout


def test_a_file_that_is_not_an_image_is_reported_in_one_line(model, tmp_path):
    done = run(model, "--image", model)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("classify_camera: Expected an image file")
    assert "Traceback" not in done.stderr


def test_without_a_camera_the_error_says_what_to_do(model):
    done = run(model)
    assert (done.returncode, done.stdout) == (1, "")
    assert "The camera needs picamera2" in done.stderr


def test_the_camera_captures_red_green_blue(model, monkeypatch, capsys):
    asked = []

    class Picamera2:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            asked.append("closed")

        def create_still_configuration(self, main):
            return main

        def configure(self, main):
            asked.append(main["format"])

        def start(self):
            asked.append("started")

        def capture_array(self, name):
            return np.zeros((480, 640, 3), np.uint8)

    module = types.ModuleType("picamera2")
    module.Picamera2 = Picamera2
    monkeypatch.setitem(sys.modules, "picamera2", module)
    monkeypatch.setattr(sys, "argv", ["classify_camera.py", model])
    namespace: dict = {"__name__": "classify_camera"}
    exec(compile(EXAMPLE.read_text(), EXAMPLE, "exec"), namespace)
    assert namespace["main"]() == 0
    # libcamera's BGR888 has the bytes in the order red, green, blue.
    assert asked == ["BGR888", "started", "closed"]
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize("interval", ["-1", "nan", "1e300", "soon"])
def test_impossible_intervals_are_refused(interval, model):
    done = run(model, "--image", "none.png", "--interval", interval)
    assert done.returncode == 2
    assert "--interval" in done.stderr
