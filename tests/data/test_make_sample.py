import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kbnn
from kbnn.data import source
from kbnn.data.make_sample import make_sample

BUNDLED = Path(kbnn.data.__file__).with_name("fashion_mnist_sample.npz")


def test_bundled_sample_is_small_and_licensed():
    assert BUNDLED.stat().st_size <= 3_000_000
    assert "Zalando SE" in BUNDLED.with_name("LICENSE.fashion-mnist").read_text()


def test_sample_is_reproducible(tmp_path, write_idx):
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
def test_command_gives_the_bundled_sample(tmp_path):
    out = tmp_path / "sample.npz"
    command = [sys.executable, "-m", "kbnn.data.make_sample"]
    subprocess.run(
        [*command, "--source", source.DEBIAN_FASHION_MNIST, "--out", out], check=True, timeout=120
    )
    with np.load(out) as made, np.load(BUNDLED) as bundled:
        assert sorted(made) == sorted(bundled)
        assert all(np.array_equal(made[key], bundled[key]) for key in made)
