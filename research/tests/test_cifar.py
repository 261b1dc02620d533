"""CIFAR-10 in JPEG files: every image is found, shrunk by means, and kept with its label."""

import io
import lzma

import numpy as np
import pytest
import tensorflow as tf
from typer.testing import CliRunner

import kbnn
from research import cifar


def jpegs(colours):
    """Return images of one colour each as JPEG files end to end, with their offsets."""
    files = [
        tf.io.encode_jpeg(np.full((32, 32, 3), colour, np.uint8), quality=95).numpy()
        for colour in colours
    ]
    offsets = np.cumsum([0, *map(len, files)])
    return np.frombuffer(b"".join(files), np.uint8), offsets


@pytest.fixture
def archive(tmp_path):
    """Six training images from dark to bright, and two test images."""
    arrays = {}
    for split, colours in (("train", [0, 50, 100, 150, 200, 250]), ("test", [60, 190])):
        arrays[f"{split}_jpeg"], arrays[f"{split}_offsets"] = jpegs(colours)
        arrays[f"{split}_labels"] = np.arange(len(colours), dtype=np.uint8) % 3
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    with lzma.open(tmp_path / "images.npz.xz", "wb") as file:
        file.write(packed.getvalue())
    return tmp_path / "images.npz.xz"


@pytest.mark.parametrize("side", [32, 16, 8])
def test_images_are_decoded_and_shrunk(archive, tmp_path, side):
    out = tmp_path / "new" / "data.npz"
    arguments = [str(archive), "--side", str(side), "--out", str(out)]
    result = CliRunner().invoke(cifar.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert f"{side}x{side}, 6 for train, 2 for test" in result.stdout
    with np.load(out) as file:
        assert file["x_train"].shape == (6, side, side, 3)
        assert file["x_train"].dtype == np.uint8
        brightness = file["x_train"].mean((1, 2, 3))
        np.testing.assert_allclose(brightness, [0, 50, 100, 150, 200, 250], atol=2)
        np.testing.assert_allclose(file["x_test"].mean((1, 2, 3)), [60, 190], atol=2)
        assert file["y_train"].tolist() == [0, 1, 2, 0, 1, 2]
        assert file["y_test"].tolist() == [0, 1]
    info = kbnn.data.describe("folder", directory=out)
    assert (info.input_shape, info.classes) == ((side, side, 3), 3)


def test_a_pixel_is_the_rounded_mean_of_a_square():
    images = np.zeros((1, 4, 4, 3), np.uint8)
    images[0, :2, :2, 0] = [[1, 2], [3, 4]]  # mean 2.5, which rounds to the even 2
    images[0, 2:, 2:, 1] = [[255, 255], [255, 254]]  # 254.75
    shrunk = cifar.shrink(images, 2)
    assert shrunk.shape == (1, 2, 2, 3)
    assert shrunk[0, 0, 0].tolist() == [2, 0, 0]
    assert shrunk[0, 1, 1].tolist() == [0, 255, 0]
    np.testing.assert_array_equal(cifar.shrink(images, 4), images)


def test_other_sides_are_refused(archive, tmp_path):
    arguments = [str(archive), "--side", "12", "--out", str(tmp_path / "data.npz")]
    result = CliRunner().invoke(cifar.app, arguments)
    assert result.exit_code == 2
    assert "32, 16 or 8" in result.output
    assert not (tmp_path / "data.npz").exists()
