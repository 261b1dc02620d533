"""Models and weights that an earlier layout of the package saved still load."""

import pathlib

import numpy as np
import pytest
import tf_keras as keras

import kbnn

# Each has every layer and quantizer of kbnn that a model ships or trains with.
FOLDER = pathlib.Path(__file__).parent / "saved_models"


@pytest.fixture(scope="module")
def expected():
    with np.load(FOLDER / "outputs.npz") as content:
        return dict(content)


@pytest.mark.parametrize("file", ["model.keras", "model.h5"])
def test_a_saved_model_loads_and_computes_the_same(file, expected):
    model = keras.models.load_model(FOLDER / file, compile=False)
    outputs = model.predict(expected["images"], verbose=0)
    np.testing.assert_allclose(outputs, expected["outputs"], atol=1e-5)
    kinds = {type(layer).__module__.split(".")[0] for layer in model.submodules}
    assert "kbnn" in kinds


def test_saved_weights_load_into_the_same_network(expected):
    saved = keras.models.load_model(FOLDER / "model.keras", compile=False)
    model = keras.models.clone_model(saved)
    before = model.predict(expected["images"], verbose=0)
    assert np.abs(before - expected["outputs"]).max() > 0.01
    model.load_weights(FOLDER / "model.weights.h5")
    outputs = model.predict(expected["images"], verbose=0)
    np.testing.assert_allclose(outputs, expected["outputs"], atol=1e-5)


def test_the_contrastive_term_loads_under_its_earlier_name():
    config = {"class_name": "kbnn>Contrast", "config": {"name": "term", "weight": 0.5}}
    term = keras.layers.deserialize(config)
    assert isinstance(term, kbnn.layers.ContrastiveTerm)
    assert term.weight == 0.5
