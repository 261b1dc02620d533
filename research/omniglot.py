"""Converts the small sets of Omniglot into the data of the many-class experiments.

    python -m research.omniglot images_background_small1.zip images_background_small2.zip \\
        --out runs/omniglot.npz

Download the two files from the folder `python/` of https://github.com/brendenlake/omniglot (MIT
licence; Lake, Salakhutdinov and Tenenbaum, 2015). Together they hold 242 characters of eight
alphabets, each drawn by twenty people. Drawers 1 to 15 become training images, drawers 16 to 20
test images, so nobody drew both for the same character. Images are 28x28, with bright ink.
"""

import io
import pathlib
import re
import zipfile
from typing import Annotated

import numpy as np
import tensorflow as tf
import typer

SIZE = 28
TRAINING_DRAWERS = 15
# images_background_small1/Greek/character01/0394_07.png is by the seventh drawer.
_DRAWING = re.compile(r"[^/]+/(?P<character>[^/]+/character\d+)/\d+_(?P<drawer>\d+)\.png")

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0])


@app.command()
def main(
    archives: Annotated[list[pathlib.Path], typer.Argument(help="The zip files.")],
    out: Annotated[pathlib.Path, typer.Option(help="The .npz file to write.")],
) -> None:
    """Read the drawings of all archives and write training and test images."""
    drawings = {}
    for archive in archives:
        # An alphabet in both archives has the same drawings in both.
        drawings.update(read(archive))
    if not drawings:
        raise typer.BadParameter(
            "Expected archives of <set>/<alphabet>/<character>/<number>_<drawer>.png. "
            f"Received: none in {', '.join(map(str, archives))}"
        )
    characters = sorted({character for character, _ in drawings})
    labels = {character: label for label, character in enumerate(characters)}
    splits: dict[str, tuple[list[np.ndarray], list[int]]] = {"train": ([], []), "test": ([], [])}
    for (character, drawer), image in sorted(drawings.items()):
        images, classes = splits["train" if drawer <= TRAINING_DRAWERS else "test"]
        images.append(shrink(image))
        classes.append(labels[character])
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        out,
        **{f"x_{name}": np.stack(images) for name, (images, _) in splits.items()},
        **{f"y_{name}": np.array(classes, np.uint16) for name, (_, classes) in splits.items()},
    )
    counts = ", ".join(f"{len(images)} for {name}" for name, (images, _) in splits.items())
    print(f"{out}: {len(characters)} characters, {counts}")


def read(archive: pathlib.Path) -> dict[tuple[str, int], bytes]:
    """Return the PNG files of an archive, by alphabet/character and drawer."""
    with zipfile.ZipFile(io.BytesIO(archive.read_bytes())) as file:
        found = ((_DRAWING.fullmatch(name), name) for name in file.namelist())
        return {
            (match["character"], int(match["drawer"])): file.read(name)
            for match, name in found
            if match is not None
        }


def shrink(png: bytes) -> np.ndarray:
    """Return a drawing as uint8 `(SIZE, SIZE)`: the share of ink in each place, times 255."""
    ink = 255 - tf.cast(tf.io.decode_png(png, channels=1), tf.float32)
    return np.rint(tf.image.resize(ink, (SIZE, SIZE), method="area")[..., 0]).astype(np.uint8)


if __name__ == "__main__":
    app()
