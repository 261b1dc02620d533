"""Read images, and convert their channels and sizes to what a model takes."""

import os
import pathlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

# The weights of ITU-R 601-2 in units of 1/65536, as in Pillow's convert("L").
_LUMA = np.array([19595, 38470, 7471], np.uint32)
_HALF = np.uint32(0x8000)


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an image file as uint8 (height, width, 1 or 3).

    The image is rotated as its EXIF data says, and transparent areas become white. Gray images of
    16 bits are divided by 257, so that white stays white.

    Raises:
        ImportError: Pillow is not installed.
        ValueError: Pillow cannot read the file.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ImportError(
            "Reading image files needs Pillow: `pip install kbnn-runtime[images]`"
        ) from error
    try:
        with Image.open(pathlib.Path(path)) as file:
            return _to_array(_flatten_on_white(ImageOps.exif_transpose(file)))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"Expected an image file. Received: {path}: {error}") from error


def _flatten_on_white(picture: "Picture") -> "Picture":
    """Replace transparency, which may hide any colour, by white."""
    has_alpha = picture.mode in ("LA", "PA", "RGBA")
    # Pillow supports no transparency in 16-bit gray.
    if not has_alpha and ("transparency" not in picture.info or picture.mode.startswith("I")):
        return picture
    from PIL import Image

    white = Image.new("RGBA", picture.size, "white")
    white.alpha_composite(picture.convert("RGBA"))
    return white.convert("L" if picture.mode in ("1", "L", "LA") else "RGB")


def _to_array(picture: "Picture") -> np.ndarray:
    """Convert a Pillow image to uint8 (height, width, 1 or 3)."""
    if picture.mode.startswith("I"):
        # Pillow's own conversion clips values above 255.
        scaled = np.rint(np.asarray(picture) / 257)
        return np.clip(scaled, 0, 255).astype(np.uint8)[..., None]
    if picture.mode in ("1", "L"):
        return np.asarray(picture.convert("L"))[..., None]
    return np.asarray(picture.convert("RGB"))


def convert_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Convert a uint8 image (height, width, 1 or 3) to 1 or 3 channels.

    Gray is the luma of ITU-R 601-2, 0.299 R + 0.587 G + 0.114 B. A gray image becomes three equal
    channels.

    Raises:
        ValueError: Neither the image nor `channels` has 1 or 3 channels.
    """
    if image.shape[-1] == channels:
        return image
    if image.shape[-1] == 1 and channels == 3:
        return np.repeat(image, 3, axis=-1)
    if image.shape[-1] == 3 and channels == 1:
        luma = (image.astype(np.uint32) @ _LUMA + _HALF) >> np.uint32(16)
        return luma.astype(np.uint8)[..., None]
    raise ValueError(
        f"Expected an image that can be converted to {channels} channels. "
        f"Received: an image with {image.shape[-1]} channels"
    )


def resize_image(image: np.ndarray, height: int, width: int, mode: str) -> np.ndarray:
    """Resize a uint8 image (height, width, channels), bilinearly with antialiasing.

    Args:
        image: An image with 1 or 3 channels.
        height: The new height.
        width: The new width.
        mode: "stretch" keeps the whole image and changes its proportions. "crop" keeps the largest
            central part that has the new proportions.

    Raises:
        ImportError: The size changes, and Pillow is not installed.
    """
    if image.shape[:2] == (height, width):
        return image
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            f"Expected an image of {height}x{width} (height x width). Received: "
            f"{image.shape[0]}x{image.shape[1]}. Resizing it needs Pillow: "
            "`pip install kbnn-runtime[images]`"
        ) from error
    box = None
    if mode == "crop":
        rows, columns = image.shape[:2]
        scale = min(rows / height, columns / width)
        top, left = (rows - scale * height) / 2, (columns - scale * width) / 2
        box = (left, top, left + scale * width, top + scale * height)
    pixels = image[..., 0] if image.shape[-1] == 1 else image
    picture = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR, box)
    return np.asarray(picture).reshape(height, width, image.shape[-1])
