"""Converts a JPEG copy of CIFAR-10 into the data of the benches.

    python -m research.cifar cifar10_jpeg.npz.xz --side 16 --out runs/cifar10_16.npz

The archive contains the JPEG files of each split, one after the other, in one array (`train_jpeg`,
`train_offsets`, `train_labels`, and the same for `test`). JPEG loses detail, so titles and tables
say "CIFAR-10 (JPEG copy)". With `--side 16`, each pixel is the mean of 2x2 pixels.
"""

import io
import itertools
import lzma
import pathlib
from typing import Annotated

import numpy as np
import tensorflow as tf
import typer

SIDE = 32

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0])


@app.command()
def main(
    archive: Annotated[pathlib.Path, typer.Argument(help="The .npz.xz file.")],
    out: Annotated[pathlib.Path, typer.Option(help="The .npz file to write.")],
    side: Annotated[int, typer.Option(help="Height and width: 32, 16 or 8.")] = SIDE,
) -> None:
    """Decode all images, shrink them, and write them with their labels."""
    if side not in (32, 16, 8):
        raise typer.BadParameter(f"Expected --side 32, 16 or 8. Received: {side}")
    with np.load(io.BytesIO(lzma.open(archive).read()), allow_pickle=False) as packed:
        arrays = {}
        for split in ("train", "test"):
            images = decode(packed[f"{split}_jpeg"], packed[f"{split}_offsets"])
            arrays[f"x_{split}"] = shrink(images, side)
            arrays[f"y_{split}"] = packed[f"{split}_labels"]
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out, **arrays)
    counts = ", ".join(f"{len(arrays[f'x_{split}'])} for {split}" for split in ("train", "test"))
    print(f"{out}: {side}x{side}, {counts}")


def decode(files: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Decode JPEG files that follow each other in an array: uint8 `(images, height, width, 3)`."""
    content = files.tobytes()
    ends = itertools.pairwise(offsets)
    return np.stack([tf.io.decode_jpeg(content[i:j], channels=3).numpy() for i, j in ends])


def shrink(images: np.ndarray, side: int) -> np.ndarray:
    """Shrink uint8 images: each new pixel is the rounded mean over a square of pixels."""
    count, height, width, channels = images.shape
    squares = images.reshape(count, side, height // side, side, width // side, channels)
    return np.rint(squares.mean((2, 4))).astype(np.uint8)


if __name__ == "__main__":
    app()
