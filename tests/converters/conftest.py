"""Files that several tests look at, each converted once. No test may change their models."""

import pathlib
from typing import NamedTuple

import numpy as np
import pytest
import tf_keras as keras

from kbnn.converters import convert
from kbnn.converters.report import Report
from tests.converters import networks


class ConvertedFile(NamedTuple):
    model: keras.Model
    path: pathlib.Path
    report: Report
    images: np.ndarray


@pytest.fixture(scope="session")
def convert_once(tmp_path_factory):
    def convert_verified(model: keras.Model, count: int) -> ConvertedFile:
        path = tmp_path_factory.mktemp("converted") / "model.tflite"
        images = networks.images(model, count)
        labels = model.predict(images, verbose=0).argmax(axis=1)
        report = convert(model, path, verify_data=(images, labels)).report
        return ConvertedFile(model, path, report, images)

    return convert_verified


@pytest.fixture(scope="session")
def plain_chain(convert_once):
    """A chain that gives logits."""
    return convert_once(networks.chain(classifier_activation=None), 64)


@pytest.fixture(scope="session")
def plain_residual(convert_once):
    return convert_once(networks.residual(), 64)


@pytest.fixture(scope="session")
def plain_nested(convert_once):
    return convert_once(networks.nested(), 16)
