"""Shared by all tests. Importing kbnn first selects Keras 2 for the whole run."""

import kbnn  # noqa: F401

import pathlib

import numpy as np
import pytest
import tf_keras as keras
from tensorflow.python.framework.config import disable_op_determinism  # not in tf.config


def pytest_ignore_collect(collection_path: pathlib.Path) -> bool | None:
    """Look for doctests in the library, not in what the tests import or start."""
    is_helper = collection_path.suffix == ".py" and not collection_path.name.startswith("test_")
    return True if is_helper else None


@pytest.fixture(autouse=True)
def _fresh_state() -> None:
    """Nothing that a test sets for the process, such as `train_run`, stays for the next one."""
    disable_op_determinism()
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> pathlib.Path:
    """240 training and 40 test images of 3 classes that differ in brightness."""
    rng = np.random.default_rng(0)
    labels = np.arange(280) % 3
    pixels = rng.integers(0, 100, (280, 12, 12)) + 70 * labels[:, None, None]
    folder = tmp_path_factory.mktemp("images")
    x, y = pixels.astype(np.uint8), labels.astype(np.int64)
    np.savez(folder / "data.npz", x_train=x[:240], y_train=y[:240], x_test=x[240:], y_test=y[240:])
    return folder
