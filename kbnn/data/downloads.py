"""Datasets that tensorflow-datasets downloads."""

import numpy as np

from kbnn.data.examples import ArrayExamples, array_examples

_CHUNK = 1_000


def download(name: str) -> tuple[ArrayExamples, ArrayExamples]:
    """Fetch a dataset through tensorflow-datasets, which keeps it for the next time.

    Args:
        name: A name that tensorflow-datasets knows, with features `image` and `label`.

    Returns:
        The training and the test set, in the order in which tensorflow-datasets stores them.

    Raises:
        Exception: Whatever tensorflow-datasets raises; ImportError when it is not installed.
    """
    import tensorflow_datasets as tfds

    def read(split: str) -> ArrayExamples:
        stored = tfds.load(name, split=split, shuffle_files=False)
        chunks = list(tfds.as_numpy(stored.batch(_CHUNK)))
        images, labels = (
            np.concatenate([chunk[feature] for chunk in chunks]) for feature in ("image", "label")
        )
        return array_examples(images, labels, f"tensorflow-datasets {name}, {split}")

    return read("train"), read("test")
