"""SmoothValidation logs what evaluating the smooth network gives."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from kbnn.quantizers import SmoothSign
from tests.techniques.small_network import compiled, images, labels, small_network


@pytest.fixture
def data():
    return images(32), labels(32)


def smooth_network(normalization="batch"):
    signs = {"input_quantizer": SmoothSign(), "kernel_quantizer": SmoothSign()}
    return compiled(small_network(**signs, normalization=normalization), metrics=["accuracy"])


@pytest.mark.parametrize(("normalization", "as_dataset"), [("batch", True), ("binary", False)])
def test_the_logs_contain_the_metrics_of_the_smooth_network(data, normalization, as_dataset):
    model = smooth_network(normalization)
    seen = tf.data.Dataset.from_tensor_slices(data).batch(16) if as_dataset else data
    callback = kbnn.callbacks.SmoothValidation(seen)
    history = model.fit(*data, validation_data=data, callbacks=[callback], verbose=0).history
    smooth = kbnn.techniques.smooth_network(model)
    smooth.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    expected = smooth.evaluate(*data, verbose=0, return_dict=True)
    np.testing.assert_allclose(history["val_smooth_loss"], expected["loss"], rtol=1e-5)
    np.testing.assert_allclose(history["val_smooth_accuracy"], expected["accuracy"])
    assert history["val_smooth_loss"] != history["val_loss"]


def test_the_training_is_the_same_with_and_without_the_callback(data):
    weights = []
    for callbacks in ([], [kbnn.callbacks.SmoothValidation(data)]):
        keras.utils.set_random_seed(0)
        model = smooth_network()
        model.fit(*data, epochs=2, shuffle=False, callbacks=callbacks, verbose=0)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_model_without_smooth_signs_raises(data):
    model = compiled(small_network())
    with pytest.raises(ValueError, match=r"Expected a model with a kbnn\.quantizers\.SmoothSign"):
        model.fit(*data, callbacks=[kbnn.callbacks.SmoothValidation(data)], verbose=0)


@pytest.mark.parametrize(
    "arguments", [(None,), ("data",), (np.zeros(3),), ((np.zeros(3),),), ((1, 2), "accuracy")]
)
def test_invalid_arguments_raise(arguments):
    with pytest.raises(TypeError, match="Expected"):
        kbnn.callbacks.SmoothValidation(*arguments)
