import gzip
import struct

import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture
def write_idx():
    """A function that writes an array as an IDX file, gzipped when its name ends in .gz."""

    def write(path, array):
        header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        content = header + array.astype(np.uint8).tobytes()
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)

    return write


@pytest.fixture
def arrays():
    """Training and test arrays of 4x5 color images, 3 classes, each image told by its pixels."""
    random = np.random.RandomState(0)
    return {
        "x_train": random.randint(0, 256, (30, 4, 5, 3)).astype(np.uint8),
        "y_train": np.arange(30, dtype=np.uint8) % 3,
        "x_test": random.randint(0, 256, (6, 4, 5, 3)).astype(np.uint8),
        "y_test": np.arange(6, dtype=np.uint8) % 3,
    }


@pytest.fixture
def image_folder(tmp_path):
    """A folder of images: classes a and b, 6 training and 2 test images each, of mixed formats."""
    random = np.random.RandomState(0)
    encoders = {
        "png": tf.io.encode_png,
        "JPG": tf.io.encode_jpeg,
        "jpeg": tf.io.encode_jpeg,
    }
    for part, count in (("train", 6), ("test", 2)):
        for name in ("b", "a"):
            folder = tmp_path / "images" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                suffix = list(encoders)[number % 3]
                pixels = random.randint(0, 256, (8 + number, 9, 3)).astype(np.uint8)
                encoded = encoders[suffix](pixels).numpy()
                (folder / f"{number}.{suffix}").write_bytes(encoded)
    return tmp_path / "images"
