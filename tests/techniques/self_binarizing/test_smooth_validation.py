"""SmoothValidation against evaluating the smooth network by hand."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn


@pytest.fixture
def data(rng):
    return rng.normal(size=(64, 28, 28, 1)).astype("f"), rng.integers(0, 10, 64)


def smooth_vgg(**arguments):
    signs = {"input_quantizer": "smooth_sign", "kernel_quantizer": "smooth_sign"}
    model = kbnn.models.vgg_tiny(width=8, **signs, **arguments)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", ["accuracy"])
    return model


@pytest.mark.parametrize("normalization", ["batch", "binary"])
@pytest.mark.parametrize("as_dataset", [False, True])
def test_the_logs_have_what_the_smooth_network_reaches(data, normalization, as_dataset):
    model = smooth_vgg(normalization=normalization)
    seen = tf.data.Dataset.from_tensor_slices(data).batch(32) if as_dataset else data
    callback = kbnn.callbacks.SmoothValidation(seen)
    history = model.fit(*data, validation_data=data, callbacks=[callback], verbose=0).history
    smooth = kbnn.techniques.smooth_network(model)
    smooth.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    expected = smooth.evaluate(*data, verbose=0, return_dict=True)
    np.testing.assert_allclose(history["val_smooth_loss"], expected["loss"], rtol=1e-5)
    np.testing.assert_allclose(history["val_smooth_accuracy"], expected["accuracy"])
    assert history["val_smooth_loss"] != history["val_loss"]


def test_a_training_is_the_same_with_and_without(data):
    weights = []
    for callbacks in ([], [kbnn.callbacks.SmoothValidation(data)]):
        keras.utils.set_random_seed(0)
        model = smooth_vgg()
        model.fit(*data, epochs=2, shuffle=False, callbacks=callbacks, verbose=0)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_model_without_smooth_signs_is_refused(data):
    model = kbnn.models.vgg_tiny(width=8)
    model.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"Expected a model with a kbnn\.quantizers\.SmoothSign"):
        model.fit(*data, callbacks=[kbnn.callbacks.SmoothValidation(data)], verbose=0)


@pytest.mark.parametrize(
    "arguments", [(None,), ("data",), (np.zeros(3),), ((np.zeros(3),),), ((1, 2), "accuracy")]
)
def test_bad_arguments(arguments):
    with pytest.raises(TypeError, match="Expected"):
        kbnn.callbacks.SmoothValidation(*arguments)
