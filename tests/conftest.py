"""Shared by all tests. Importing kbnn first selects Keras 2 for the whole run."""

import kbnn  # noqa: F401

import numpy as np
import pytest
import tf_keras as keras


@pytest.fixture(autouse=True)
def _seed() -> None:
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
