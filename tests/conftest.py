"""Shared by all tests. Importing kbnn first selects Keras 2 for the whole run."""

import kbnn  # noqa: F401

import pathlib

import numpy as np
import pytest
import tf_keras as keras


def pytest_ignore_collect(collection_path: pathlib.Path) -> bool | None:
    """Look for doctests in the library, not in what the tests import or start."""
    is_helper = collection_path.suffix == ".py" and not collection_path.name.startswith("test_")
    return True if is_helper else None


@pytest.fixture(autouse=True)
def _seed() -> None:
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
