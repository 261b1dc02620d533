"""Photos are decoded in training as on the device, by Pillow's rules."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image, ImageOps

from kbnn.data.decode import decode_image, find_orientation, whiten_transparency

ROWS, COLUMNS = 24, 40
ORIENTATION = 0x0112


def pixels():
    y, x = np.mgrid[:ROWS, :COLUMNS]
    return np.stack([x * 6, y * 10, (x + y) * 3], -1).astype(np.uint8)


def saved(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def on_device(content):
    """What `kbnn_runtime.images.read_image` computes."""
    with Image.open(io.BytesIO(content)) as file:
        picture = ImageOps.exif_transpose(file)
        white = Image.new("RGBA", picture.size, "white")
        white.alpha_composite(picture.convert("RGBA"))
    return np.asarray(white.convert("RGB")).astype(int)


def difference(content):
    ours, theirs = decode_image(content).numpy().astype(int), on_device(content)
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max()


def exif(orientation):
    found = Image.Exif()
    found[ORIENTATION] = orientation
    return found


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_its_exif_says(kind, orientation):
    content = saved(Image.fromarray(pixels()), kind, exif=exif(orientation))
    assert find_orientation(content) == orientation
    assert difference(content) <= (8 if kind == "JPEG" else 0)  # decoders of JPEG differ a little


@pytest.mark.parametrize("order", ["II", "MM"])
def test_both_byte_orders_and_other_segments(order):
    content = saved(Image.fromarray(pixels()), "JPEG", comment=b"a comment", dpi=(72, 72))

    def number(value, size):
        return value.to_bytes(size, "little" if order == "II" else "big")

    entries = [(0x010F, 2, 4, b"abc\0"), (ORIENTATION, 3, 1, number(8, 2) + b"\0\0")]
    tiff = order.encode() + number(42, 2) + number(8, 4) + number(len(entries), 2)
    for tag, kind, count, value in entries:
        tiff += number(tag, 2) + number(kind, 2) + number(count, 4) + value
    segment = b"Exif\0\0" + tiff + number(0, 4)
    # EXIF data need not come first.
    start = content.index(b"\xff\xdb")
    segment = b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment
    turned = content[:start] + segment + content[start:]
    assert find_orientation(turned) == 8
    assert difference(turned) <= 8


def test_xmp_gives_the_orientation_where_exif_does_not():
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    plain = saved(Image.fromarray(pixels()), "JPEG")
    segment = b"http://ns.adobe.com/xap/1.0/\0" + xmp
    segment = b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment
    assert find_orientation(plain[:2] + segment + plain[2:]) == 6
    assert find_orientation(plain) == 1


def test_broken_data_leave_the_image_upright():
    content = saved(Image.fromarray(pixels()), "JPEG", exif=exif(6))
    start = content.index(b"Exif")
    for position, value in itertools.product(range(start, start + 24), (0, 1, 127, 255)):
        broken = content[:position] + bytes([value]) + content[position + 1 :]
        assert find_orientation(broken) in range(1, 9)
    for end in range(len(content)):
        assert find_orientation(content[:end]) in range(1, 9)


def with_alpha():
    alpha = np.linspace(0, 255, ROWS * COLUMNS).reshape(ROWS, COLUMNS, 1).astype(np.uint8)
    return np.concatenate([pixels(), alpha], -1)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGB", "L", "P"])
def test_transparent_areas_are_white(mode):
    """The hidden colour of the first row is not the image's."""
    picture = Image.fromarray(with_alpha())
    options = {}
    if mode in ("RGB", "L"):
        picture = picture.convert(mode)
        options["transparency"] = picture.getpixel((0, 0))
    elif mode == "P":
        picture = picture.convert("RGB").quantize(16)
        options["transparency"] = picture.getpixel((0, 0))
    else:
        picture = picture.convert(mode)
    content = saved(picture, "PNG", **options)
    assert difference(content) <= 1
    assert decode_image(content).numpy()[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("transparent", [True, False])
def test_the_transparent_colour_of_a_gif_is_white(transparent):
    picture = Image.fromarray(pixels()).quantize(16)
    options = {"transparency": picture.getpixel((0, 0))} if transparent else {}
    content = saved(picture, "GIF", **options)
    assert difference(content) == 0
    assert (whiten_transparency(content) != content) == transparent
    for end in range(len(content)):
        whiten_transparency(content[:end])


@pytest.mark.parametrize("kind", ["BMP", "GIF", "PNG", "JPEG"])
def test_plain_images_stay_as_they_are(kind):
    picture = Image.fromarray(pixels()).quantize(64).convert("RGB")
    assert difference(saved(picture, kind)) <= (8 if kind == "JPEG" else 0)
