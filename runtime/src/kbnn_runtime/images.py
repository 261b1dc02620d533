"""Images as arrays: channels and sizes brought to those of a model."""

import os
import pathlib
from typing import Any

import numpy as np

# ITU-R 601-2, in units of 1/65536 and rounded: what Pillow's convert("L") computes.
_LUMA = np.array([19595, 38470, 7471], np.uint32)
_HALF = np.uint32(0x8000)


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """An image file as uint8 (height, width, 1 or 3), turned as its camera says.

    Gray images of 16 bits are divided by 257, so that white stays white. What is transparent is
    laid on white.

    Raises:
        ImportError: Pillow is not installed.
        ValueError: It is no image file that Pillow reads.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ImportError(
            "Expected Pillow to read image files. Received none: `pip install kbnn-runtime[images]`"
        ) from error
    try:
        with Image.open(pathlib.Path(path)) as file:
            return _pixels(_on_white(ImageOps.exif_transpose(file)))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"Expected an image file. Received: {path}: {error}") from error


def _on_white(picture: Any) -> Any:
    """A picture of Pillow's without its transparency, which may hide any colour."""
    has_alpha = picture.mode in ("LA", "PA", "RGBA")
    # Of gray with 16 bits Pillow knows no transparency.
    if not has_alpha and ("transparency" not in picture.info or picture.mode.startswith("I")):
        return picture
    from PIL import Image

    white = Image.new("RGBA", picture.size, "white")
    white.alpha_composite(picture.convert("RGBA"))
    return white.convert("L" if picture.mode in ("1", "L", "LA") else "RGB")


def _pixels(picture: Any) -> np.ndarray:
    """A picture of Pillow's as uint8 (height, width, 1 or 3)."""
    if picture.mode.startswith("I"):
        # Pillow's conversion would clip them to 255.
        scaled = np.rint(np.asarray(picture) / 257)
        return np.clip(scaled, 0, 255).astype(np.uint8)[..., None]
    if picture.mode in ("1", "L"):
        return np.asarray(picture.convert("L"))[..., None]
    return np.asarray(picture.convert("RGB"))


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """A uint8 image (height, width, 1 or 3) with 1 or 3 channels.

    Colour becomes gray by ITU-R 601-2's luma, 0.299 R + 0.587 G + 0.114 B; gray becomes three equal
    channels.

    Raises:
        ValueError: The image cannot have that many channels.
    """
    if image.shape[-1] == channels:
        return image
    if image.shape[-1] == 1 and channels == 3:
        return np.repeat(image, 3, axis=-1)
    if image.shape[-1] == 3 and channels == 1:
        luma = (image.astype(np.uint32) @ _LUMA + _HALF) >> np.uint32(16)
        return luma.astype(np.uint8)[..., None]
    raise ValueError(
        f"Expected an image that can have {channels} channels. "
        f"Received: an image of {image.shape[-1]} channels"
    )


def resized(image: np.ndarray, height: int, width: int, mode: str) -> np.ndarray:
    """A uint8 image (height, width, channels) in another size, bilinear with antialiasing.

    Args:
        image: Of 1 or 3 channels.
        height: Rows wanted.
        width: Columns wanted.
        mode: "stretch": the whole image, whatever its proportions. "crop": the largest part of
            the wanted proportions from the image's middle.

    Raises:
        ImportError: The size differs, and Pillow is not installed.
    """
    if image.shape[:2] == (height, width):
        return image
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            f"Expected an image of {height}x{width} (height x width). Received one of "
            f"{image.shape[0]}x{image.shape[1]}, and no Pillow to resize it: "
            "`pip install kbnn-runtime[images]`"
        ) from error
    box = None
    if mode == "crop":
        rows, columns = image.shape[:2]
        scale = min(rows / height, columns / width)
        top, left = (rows - scale * height) / 2, (columns - scale * width) / 2
        box = (left, top, left + scale * width, top + scale * height)
    squeezed = image[..., 0] if image.shape[-1] == 1 else image
    picture = Image.fromarray(squeezed).resize((width, height), Image.Resampling.BILINEAR, box)
    return np.asarray(picture).reshape(height, width, image.shape[-1])
