"""Write the bundled sample: `python -m kbnn.data.make_sample --source DIR --out FILE`."""

import argparse
from pathlib import Path

import numpy as np

from kbnn.data.examples import ArrayExamples
from kbnn.data.idx import read_idx_folder
from kbnn.data.stratified_split import stratified_split

_SEED = 0
_TRAIN_SIZE = 5_000
_TEST_SIZE = 1_000


def make_sample(source: Path, out: Path) -> None:
    """Choose 500 training and 100 test images of each class, in the order of the original.

    The same files give the same bytes.

    Args:
        source: The folder with the four IDX files of Fashion-MNIST.
        out: The `.npz` file to write.

    Raises:
        ValueError: A file is missing or corrupt.
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


def main() -> None:
    """Read the command line and write the file."""
    parser = argparse.ArgumentParser(prog="python -m kbnn.data.make_sample", description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="folder with the IDX files")
    parser.add_argument("--out", type=Path, required=True, help=".npz file to write")
    arguments = parser.parse_args()
    make_sample(arguments.source, arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
