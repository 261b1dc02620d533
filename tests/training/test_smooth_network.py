"""The smooth network is the trained one but for its signs, and approaches it."""

import numpy as np
import pytest
import tf_keras as keras

import kbnn
from kbnn.quantizers import SmoothSign


def trained(normalization, sharpness=1.0):
    keras.utils.set_random_seed(0)
    signs = {"input_quantizer": SmoothSign(), "kernel_quantizer": SmoothSign()}
    model = kbnn.models.vgg_tiny(width=4, **signs, normalization=normalization)
    kbnn.recalibrate_batch_norm(model, images(64))
    for module in model.submodules:
        if isinstance(module, SmoothSign):
            module.sharpness.assign(sharpness)
    return model


def images(count=16):
    return np.random.default_rng(0).normal(size=(count, 28, 28, 1)).astype("f")


@pytest.mark.parametrize("normalization", ["batch", "binary"])
def test_it_computes_what_training_computes(normalization):
    model = trained(normalization, sharpness=3.0)
    smooth = kbnn.training.smooth_network(model)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False  # training then takes the moving statistics, as inference does
    np.testing.assert_allclose(smooth(images()), model(images(), training=True), rtol=1e-4)
    assert np.abs(smooth(images()) - model(images())).max() > 1e-3


@pytest.mark.parametrize("normalization", ["batch", "binary"])
def test_at_a_high_sharpness_it_is_the_model(normalization):
    distances = []
    for sharpness in (10.0, 1e6):
        model = trained(normalization, sharpness)
        smooth = kbnn.training.smooth_network(model)
        distances.append(np.abs(smooth(images()) - model(images())).mean())
    assert distances[1] < 0.01 * distances[0]


def test_a_model_without_smooth_signs_is_refused():
    with pytest.raises(ValueError, match="Received: model='vgg_tiny' without one"):
        kbnn.training.smooth_network(kbnn.models.vgg_tiny(width=4))
