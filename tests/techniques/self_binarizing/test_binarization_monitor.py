"""The monitor's measures agree with NumPy."""

import itertools

import larq as lq
import numpy as np
import pytest
import tf_keras as keras

from kbnn.callbacks import BinarizationMonitor
from kbnn.quantizers import SmoothSign
from tests.techniques.small_network import compiled, images, labels, small_network


@pytest.fixture(scope="module")
def plain_network():
    return compiled(small_network())


def fit(model, *callbacks, epochs=1):
    return model.fit(
        images(), labels(), batch_size=4, epochs=epochs, verbose=0, callbacks=callbacks
    ).history


def test_kernels_are_measured_with_their_sharpness_and_flips_against_the_epoch_before():
    model = compiled(small_network(kernel_quantizer=SmoothSign(sharpness=40.0)))
    kernel = model.get_layer("conv").kernel.latent_variable
    kernels = [kernel.numpy()]
    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: kernels.append(kernel.numpy()))
    history = fit(model, BinarizationMonitor(), keep, epochs=2)
    for epoch, (before, after) in enumerate(itertools.pairwise(kernels)):
        expected = {
            "kernel_flip_ratio": np.mean((before >= 0) != (after >= 0)),
            "kernel_residual": np.mean(1 - np.abs(np.tanh(40 * after))),
            "kernel_saturation": np.mean(40 * np.abs(after) > 10),
        }
        for name, value in expected.items():
            assert history[f"conv/{name}"][epoch] == pytest.approx(value, rel=1e-4), name
    assert history["conv/kernel_flip_ratio"][0] > 0
    assert not [name for name in history if "input" in name]


@pytest.mark.parametrize("normalization", ["batch", "binary"])
def test_inputs_are_measured_before_they_become_binary(normalization):
    sign = SmoothSign(sharpness=5.0)
    model = compiled(small_network(input_quantizer=sign, normalization=normalization))
    seen = images(3)
    history = fit(model, BinarizationMonitor(seen))
    layer = model.get_layer("conv" if normalization == "batch" else "norm")
    z = keras.Model(model.input, layer.input)(seen).numpy()
    if normalization == "binary":
        mean, variance = layer.moving_mean.numpy(), layer.moving_variance.numpy()
        z = (z - mean) / np.sqrt(
            variance + layer.epsilon
        ) * layer.gamma.numpy() + layer.beta.numpy()
    z = 5 * np.abs(z)
    found = {name: history[f"{layer.name}/input_{name}"][0] for name in ("saturation", "residual")}
    assert 0 < found["saturation"] == pytest.approx(np.mean(z > 10), abs=1e-3)
    assert found["residual"] == pytest.approx(np.mean(1 - np.tanh(z)), rel=1e-3)


def test_quantizers_of_larq_log_flips_only(plain_network):
    history = fit(plain_network, BinarizationMonitor(images()))
    names = {name.split("/")[-1] for name in history}
    assert names == {"loss", "kernel_flip_ratio"}


def test_a_model_without_binary_kernels_raises():
    model = small_network(kernel_quantizer=None)
    with pytest.raises(ValueError, match="Received: model='small' without one"):
        fit(compiled(model), BinarizationMonitor())


def test_each_kernel_has_a_different_name():
    def block(filters):
        x = image = keras.Input((8, 8, filters))
        x = lq.layers.QuantSeparableConv2D(
            filters,
            3,
            depthwise_quantizer="smooth_sign",
            pointwise_quantizer="smooth_sign",
            name="conv",
        )(x)
        return keras.Model(image, x)

    x = image = keras.Input((8, 8, 4))
    x = block(4)(x)
    x = keras.layers.Flatten()(block(4)(keras.layers.ZeroPadding2D()(x)))
    model = keras.Model(image, keras.layers.Dense(2)(x))
    model.compile("sgd", "mse")
    history = model.fit(
        *(np.zeros((4, 8, 8, 4)), np.zeros((4, 2))),
        callbacks=[BinarizationMonitor()],
        verbose=0,
    ).history
    kernels = {name.rsplit("_", 1)[0] for name in history if name.endswith("_residual")}
    assert kernels == {
        *("conv/depthwise_kernel", "conv/pointwise_kernel"),
        *("conv/depthwise_kernel#2", "conv/pointwise_kernel#2"),
    }


@pytest.mark.parametrize("shape", [(0, 6, 6, 2), (6, 6, 2), (4, 8, 8, 3)])
def test_images_that_do_not_fit_the_model_raise(plain_network, shape):
    with pytest.raises(ValueError, match="Expected `images` to be a batch that fits"):
        fit(plain_network, BinarizationMonitor(np.zeros(shape)))


def test_images_that_are_not_an_array_raise():
    with pytest.raises(TypeError, match="Expected `images` to be an array"):
        BinarizationMonitor((np.zeros((4, 6, 6, 2)), np.zeros(4)))


def smooth_convolution():
    return lq.layers.QuantConv2D(
        4, 3, padding="same", input_quantizer="smooth_sign", kernel_quantizer="ste_sign", name="c"
    )


def test_layers_of_the_same_name_are_numbered_and_all_their_calls_are_measured():
    inner = keras.Sequential([keras.Input((8, 8, 4)), smooth_convolution()])
    outer = smooth_convolution()
    x = image = keras.Input((8, 8, 4))
    x = keras.layers.Rescaling(5.0)(outer(outer(x)))
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(inner(x))))
    model.compile("sgd", "mse")
    seen = np.random.default_rng(0).normal(size=(4, 8, 8, 4)).astype("f")
    history = model.fit(
        seen, np.zeros((4, 2)), callbacks=[BinarizationMonitor(seen)], verbose=0
    ).history
    names = [name for name in history if name.endswith("residual")]
    assert sorted(names) == ["c/input#2_residual", "c/input_residual"]
    between = outer(seen).numpy()
    both = np.concatenate([seen.ravel(), between.ravel()])
    expected = np.mean(1 - np.abs(np.tanh(both)))
    found = [history[name][0] for name in names]
    assert min(abs(value - expected) for value in found) < 1e-5


def test_images_for_a_model_of_several_inputs_raise():
    images = [keras.Input((8, 8, 4)), keras.Input((8, 8, 4))]
    convolution = smooth_convolution()
    model = keras.Model(images, keras.layers.add([convolution(one) for one in images]))
    model.compile("sgd", "mse")
    x = np.zeros((4, 8, 8, 4), "f")
    with pytest.raises(ValueError, match="Expected a model of one input"):
        model.fit([x, x], x, callbacks=[BinarizationMonitor(x)], verbose=0)
