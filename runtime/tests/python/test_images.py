"""Reading image files as arrays."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from kbnn_runtime.images import read_image

GRAY = np.random.default_rng(0).integers(0, 256, (4, 6), np.uint8)


# 255 * 257 is the white of 16 bits.
@pytest.mark.parametrize(
    ("stored", "suffix"),
    [(GRAY, "png"), (GRAY * np.uint16(257), "png"), (GRAY * np.int32(257), "tif")],
)
def test_gray_of_16_bits_becomes_8(stored, suffix, tmp_path):
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(stored).save(path)
    pixels = read_image(path)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels[..., 0], GRAY)


def test_values_beyond_16_bits_are_clipped(tmp_path):
    path = tmp_path / "image.tif"
    Image.fromarray(np.array([[-5, 0, 10**6]], np.int32)).save(path)
    assert read_image(path).ravel().tolist() == [0, 0, 255]


def png_of(width: int, height: int) -> bytes:
    """Make a PNG file that claims this size but has no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def test_a_decompression_bomb_is_refused(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of(60000, 60000))
    with pytest.raises(ValueError, match=r"Expected an image file.*decompression bomb"):
        read_image(path)


def test_transparent_areas_become_white(tmp_path):
    """Transparency may hide any colour. Half-transparent black becomes a medium gray."""
    path = tmp_path / "image.png"
    pixels = np.array([[[255, 0, 0, 255], [0, 0, 0, 0], [0, 200, 0, 0], [0, 0, 0, 128]]], np.uint8)
    Image.fromarray(pixels).save(path)
    seen = [[[255, 0, 0], [255, 255, 255], [255, 255, 255], [127, 127, 127]]]
    np.testing.assert_array_equal(read_image(path), seen)
    Image.fromarray(np.array([[[9, 255], [9, 0]]], np.uint8)).save(path)
    np.testing.assert_array_equal(read_image(path), [[[9], [255]]])


@pytest.mark.parametrize(("mode", "shape"), [("P", (1, 2, 3)), ("L", (1, 2, 1)), ("1", (1, 2, 1))])
def test_a_colour_declared_transparent(mode, shape, tmp_path):
    path = tmp_path / "image.png"
    picture = Image.new(mode, (2, 1))
    picture.putpixel((1, 0), 1)
    picture.save(path, transparency=0)
    pixels = read_image(path)
    assert pixels.shape == shape
    assert pixels[0, 0].tolist() == [255] * shape[-1]
