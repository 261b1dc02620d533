"""The sample of Fashion-MNIST that kbnn ships can be made again."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

import kbnn
from kbnn.data import source
from research.make_fashion_sample import make_sample


def write_idx(path, array):
    """Write an array of bytes as a gzipped IDX file."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


def test_the_same_files_give_the_same_bytes_and_every_class_its_share(tmp_path):
    random = np.random.RandomState(0)
    for prefix, count in (("train", 6000), ("t10k", 1200)):
        images = random.randint(0, 256, (count, 2, 2))
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte.gz", np.arange(count) % 10)
    for name in ("one.npz", "two.npz"):
        make_sample(tmp_path, tmp_path / name)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    with np.load(tmp_path / "one.npz") as sample:
        assert (np.bincount(sample["y_train"]) == 500).all()
        assert (np.bincount(sample["y_test"]) == 100).all()


@pytest.mark.skipif(
    not source.DEBIAN_FASHION_MNIST.is_dir(),
    reason="the Debian package dataset-fashion-mnist is not installed",
)
def test_the_data_set_gives_the_sample_that_kbnn_ships(tmp_path):
    make_sample(source.DEBIAN_FASHION_MNIST, tmp_path / "sample.npz")
    shipped = Path(kbnn.data.__file__).with_name("fashion_mnist_sample.npz")
    with np.load(tmp_path / "sample.npz") as made, np.load(shipped) as sample:
        assert sorted(made) == sorted(sample)
        assert all(np.array_equal(made[key], sample[key]) for key in made)
