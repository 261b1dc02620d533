"""Decodes an image file as the device does: upright, and with white in transparent areas.

`kbnn_runtime.images.read_image` does the same with Pillow.
"""

import re
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

_PNG = b"\x89PNG\r\n\x1a\n"
_ORIENTATION = 0x0112
_IN_XMP = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


def decode_image(content: tf.Tensor) -> tf.Tensor:
    """Decode the content of a JPEG, PNG, GIF or BMP file as uint8 (height, width, 3).

    The image is rotated as its EXIF data says, and transparent areas become white. Of an animation,
    the first picture is decoded.
    """
    image = tf.case(
        [
            (_starts_with(content, _PNG), lambda: _decode_png(content)),
            (_starts_with(content, b"GIF8"), lambda: _decode(_with_white_for_nothing(content))),
        ],
        default=lambda: _decode(content),
    )
    image.set_shape([None, None, 3])
    orientation = tf.numpy_function(
        lambda content: np.int64(find_orientation(_as_bytes(content))), [content], tf.int64, False
    )
    return _turn(image, tf.ensure_shape(orientation, []))


def find_orientation(content: bytes) -> int:
    """Return the orientation in the EXIF or XMP data of a JPEG or PNG file, 1 to 8.

    It is 1, upright, if the file has none or the data are broken.
    """
    found = 1
    try:
        for exif, xmp in _metadata(content):
            of_exif = _orientation_in_exif(exif) if exif else None
            if of_exif is not None:
                return of_exif if 1 <= of_exif <= 8 else 1
            match = _IN_XMP.search(xmp)
            found = int(match[1]) if match else found
    except (struct.error, IndexError):
        pass  # a decoder may still read the image
    return found


def _starts_with(content: tf.Tensor, signature: bytes) -> tf.Tensor:
    return tf.strings.substr(content, 0, len(signature)) == signature


def _decode(content: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_image(content, channels=3, expand_animations=False)


def _decode_png(content: tf.Tensor) -> tf.Tensor:
    image = tf.cast(tf.io.decode_png(content, channels=4), tf.float32)
    alpha = image[..., 3:] / 255.0
    on_white = image[..., :3] * alpha + 255.0 * (1.0 - alpha)
    return tf.cast(tf.round(on_white), tf.uint8)


def _with_white_for_nothing(content: tf.Tensor) -> tf.Tensor:
    """Make the transparent colour of a GIF white. TensorFlow's decoder knows no transparency."""
    changed = tf.numpy_function(
        lambda content: whiten_transparency(_as_bytes(content)), [content], tf.string, False
    )
    return tf.ensure_shape(changed, [])


def whiten_transparency(content: bytes) -> bytes:
    """Return a GIF file whose first picture has white in place of its transparent colour."""
    changed = bytearray(content)
    table = _color_table(content, 10, 13)
    position = 13 + 3 * table
    transparent: int | None = None
    try:
        while content[position] == 0x21:  # an extension
            if content[position + 1] == 0xF9 and content[position + 3] & 1:
                transparent = content[position + 6]
                changed[position + 3] &= 0xFE
            position += 2
            while content[position]:
                position += content[position] + 1
            position += 1
        if content[position] != 0x2C or transparent is None:
            return content
        local = _color_table(content, position + 9, position + 10)
    except IndexError:
        return content
    start = (position + 10 if local else 13) + 3 * transparent
    if transparent < (local or table):
        changed[start : start + 3] = b"\xff\xff\xff"
    return bytes(changed)


def _color_table(content: bytes, flags: int, start: int) -> int:
    """How many colours a table of a GIF has; 0 if there is no table."""
    has_table = len(content) > start and content[flags] & 0x80
    return 2 << (content[flags] & 7) if has_table else 0


def _as_bytes(content: Any) -> bytes:
    """What a function of Python receives for a string: bytes in a graph, else an array."""
    return content if isinstance(content, bytes) else content.item()


def _metadata(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each block of EXIF or XMP data in a file, as `(exif, xmp)`, one of them empty."""
    if content.startswith(_PNG):
        position = len(_PNG)
        while position < len(content):
            size, kind = struct.unpack_from(">I4s", content, position)
            data = content[position + 8 : position + 8 + size]
            if kind == b"eXIf":
                yield data, b""
            elif kind == b"iTXt" and data.startswith(b"XML:com.adobe.xmp\0"):
                yield b"", data
            position += size + 12
    elif content.startswith(b"\xff\xd8"):
        position = 2
        while content[position] == 0xFF and content[position + 1] not in (0xD9, 0xDA):
            if content[position + 1] == 0xFF:  # a byte that fills
                position += 1
                continue
            (size,) = struct.unpack_from(">H", content, position + 2)
            data = content[position + 4 : position + 2 + size]
            if content[position + 1] == 0xE1:
                is_exif = data.startswith(b"Exif\0\0")
                yield (data[6:], b"") if is_exif else (b"", data)
            position += size + 2


def _orientation_in_exif(exif: bytes) -> int | None:
    order = "<" if exif.startswith(b"II") else ">"
    (directory,) = struct.unpack_from(f"{order}I", exif, 4)
    (entries,) = struct.unpack_from(f"{order}H", exif, directory)
    for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
        tag, kind = struct.unpack_from(f"{order}HH", exif, entry)
        if tag == _ORIENTATION:
            (value,) = struct.unpack_from(order + ("I" if kind == 4 else "H"), exif, entry + 8)
            return int(value)
    return None


def _turn(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Make an image upright that has an orientation as EXIF numbers them."""

    def is_one_of(*numbers: int) -> tf.Tensor:
        return tf.reduce_any(orientation == tf.constant(numbers, tf.int64))

    turns = [
        ((5, 6, 7, 8), lambda image: tf.transpose(image, [1, 0, 2])),
        ((2, 3, 6, 7), lambda image: tf.reverse(image, [1])),
        ((3, 4, 7, 8), lambda image: tf.reverse(image, [0])),
    ]
    for numbers, turn in turns:
        before = image
        image = tf.cond(
            is_one_of(*numbers),
            lambda turn=turn, before=before: turn(before),
            lambda before=before: before,
        )
        image.set_shape([None, None, 3])
    return image
