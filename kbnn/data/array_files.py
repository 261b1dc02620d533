"""Datasets in files of arrays: IDX, the format of MNIST and its relatives, and Keras's `.npz`."""

import gzip
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from kbnn.data.examples import ArrayExamples, array_examples

_UNSIGNED_BYTE = 0x08
_KINDS = {"train": "train", "test": "t10k"}


def has_idx(directory: Path) -> bool:
    """Whether `directory` holds a file with one of the names that `read_idx_folder` reads."""
    return any(
        (directory / f"{prefix}-{part}-ubyte{suffix}").is_file()
        for prefix in _KINDS.values()
        for part in ("images-idx3", "labels-idx1")
        for suffix in ("", ".gz")
    )


def read_idx_folder(directory: Path) -> tuple[ArrayExamples, ArrayExamples]:
    """Read `{train,t10k}-{images-idx3,labels-idx1}-ubyte`, with or without `.gz`.

    Returns:
        The training and the test set.

    Raises:
        ValueError: A file is missing, truncated or corrupt, or has an unexpected format.
    """
    train, test = (
        array_examples(
            read_idx(_find(directory, f"{prefix}-images-idx3-ubyte"), dimensions=3),
            read_idx(_find(directory, f"{prefix}-labels-idx1-ubyte"), dimensions=1),
            f"{directory}/{prefix}-*",
        )
        for prefix in _KINDS.values()
    )
    return train, test


def read_idx(path: Path, *, dimensions: int) -> np.ndarray:
    """Read one IDX file of unsigned bytes, gzipped when its name ends in `.gz`.

    Args:
        path: The file.
        dimensions: 3 for images, 1 for labels.

    Returns:
        A uint8 array of that many dimensions.

    Raises:
        ValueError: The file is truncated, corrupt or not such an IDX file.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(
            f"Expected a whole gzip file ({error}). Received: file={str(path)!r}"
        ) from error
    header = 4 + 4 * dimensions
    magic = bytes([0, 0, _UNSIGNED_BYTE, dimensions])
    if content[:4] != magic or len(content) < header:
        raise ValueError(
            f"Expected an IDX file of {dimensions}-dimensional unsigned bytes, which begins with "
            f"0x{magic.hex()}. Received: 0x{content[:4].hex()} in file={str(path)!r}"
        )
    shape = [int(size) for size in np.frombuffer(content[4:header], ">u4")]
    if len(content) - header != math.prod(shape):
        raise ValueError(
            f"Expected {math.prod(shape)} bytes of data, as the IDX header says. "
            f"Received: {len(content) - header} bytes in file={str(path)!r}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _find(directory: Path, stem: str) -> Path:
    for name in (f"{stem}.gz", stem):
        if (directory / name).is_file():
            return directory / name
    raise ValueError(
        f"Expected `directory` to hold {stem}.gz or {stem}. Received: directory={str(directory)!r}"
    )


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
