"""Datasets in one `.npz` file, the form of Keras's own dataset files."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from kbnn.data.examples import ArrayExamples, array_examples

_KEYS = ("x_train", "y_train", "x_test", "y_test")


def read_npz(path: Path) -> tuple[ArrayExamples, ArrayExamples]:
    """Read `x_train`, `y_train`, `x_test` and `y_test`; nothing is unpickled.

    Returns:
        The training and the test set.

    Raises:
        ValueError: The file is corrupt, lacks an array, or has one of the wrong type or shape.
    """
    try:
        # np.load leaves a file that it opened itself open when it fails.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            missing = [key for key in _KEYS if key not in file]
            arrays = {} if missing else {key: file[key] for key in _KEYS}
            found = list(file)
    # A plain .npy file gives an array, which is no context manager (AttributeError, TypeError).
    except (
        AttributeError,
        EOFError,
        OSError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ValueError(
            f"Expected a whole .npz file of plain arrays ({error}). Received: file={str(path)!r}"
        ) from error
    if missing:
        raise ValueError(
            f"Expected the arrays {', '.join(_KEYS)}. Received: {found} in file={str(path)!r}"
        )
    train = array_examples(arrays["x_train"], arrays["y_train"], f"x_train, y_train of {path}")
    test = array_examples(arrays["x_test"], arrays["y_test"], f"x_test, y_test of {path}")
    return train, test
