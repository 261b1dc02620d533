"""Writes the sample of Fashion-MNIST that kbnn ships.

python -m research.make_fashion_sample --source DIR --out kbnn/data/fashion_mnist_sample.npz
"""

import pathlib
from typing import Annotated

import numpy as np
import typer

from kbnn.data.array_files import read_idx_folder
from kbnn.data.examples import ArrayExamples
from kbnn.data.order import stratified_split

_SEED = 0
_TRAIN_SIZE = 5_000
_TEST_SIZE = 1_000


def make_sample(source: pathlib.Path, out: pathlib.Path) -> None:
    """Write 500 training and 100 test images of each class, in their original order.

    The same files give the same bytes.

    Args:
        source: folder with the four IDX files of Fashion-MNIST.
        out: the `.npz` file to write.

    Raises:
        ValueError: a file is missing or corrupt.
    """
    train, test = read_idx_folder(source)
    train_images, train_labels = _choose(train, _TRAIN_SIZE)
    test_images, test_labels = _choose(test, _TEST_SIZE)
    with out.open("wb") as file:
        np.savez_compressed(
            file,
            x_train=train_images,
            y_train=train_labels,
            x_test=test_images,
            y_test=test_labels,
        )


def _choose(examples: ArrayExamples, count: int) -> tuple[np.ndarray, np.ndarray]:
    _, chosen = stratified_split(examples.labels, count, _SEED)
    return examples.images[chosen, ..., 0], examples.labels[chosen].astype(np.uint8)


def _main(
    source: Annotated[pathlib.Path, typer.Option(help="Folder with the IDX files.")],
    out: Annotated[pathlib.Path, typer.Option(help="The .npz file to write.")],
) -> None:
    """Write the sample."""
    make_sample(source, out)
    print(f"{out}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    typer.run(_main)
