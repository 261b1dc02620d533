"""LearnedSignMonitor logs what a calculation by hand gives."""

import larq as lq
import numpy as np
import pytest
import tf_keras as keras

import kbnn
from kbnn.quantizers import LearnedSign


def vgg(**options):
    return kbnn.models.vgg_tiny((12, 12, 1), **options)


@pytest.fixture
def data(rng):
    return rng.normal(size=(32, 12, 12, 1)).astype("f"), rng.integers(0, 10, 32)


def test_the_logs_say_what_the_mapping_does(data):
    model = vgg(width=8)
    learned = kbnn.requantize(model, kernel_quantizer=LearnedSign(noise_rate=0.2))
    for module in learned.submodules:
        if isinstance(module, LearnedSign):
            (last,) = [weight for weight in module.weights if "kernel_2" in weight.name]
            last.assign(np.random.default_rng(1).normal(size=last.shape))
    learned.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    monitor = kbnn.callbacks.LearnedSignMonitor(model)
    history = learned.fit(*data, epochs=2, callbacks=[monitor], verbose=0).history
    for name in ("conv_1", "conv_2", "conv_3"):
        layer = learned.get_layer(name)
        kernel = layer.kernel.latent_variable
        signs = kbnn.converters.freeze(learned).get_layer(name).get_weights()[0] > 0
        disagreement = np.mean(signs != (kernel.numpy() >= 0))
        assert history[f"{name}/kernel_disagreement"][-1] == pytest.approx(disagreement)
        assert disagreement > 0
        before = model.get_layer(name).get_weights()[0] >= 0
        assert history[f"{name}/kernel_flips"][-1] == pytest.approx(np.mean(signs != before))
        loss = float(layer.kernel_quantizer.auxiliary_loss(kernel))
        assert history[f"{name}/kernel_auxiliary_loss"][-1] == pytest.approx(loss, rel=1e-4)


def test_a_new_mapping_has_no_effect(data):
    model = kbnn.requantize(vgg(width=8), kernel_quantizer=LearnedSign())
    model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    callbacks = [kbnn.callbacks.LearnedSignMonitor(), kbnn.callbacks.BinarizationMonitor()]
    history = model.fit(*data, callbacks=callbacks, verbose=0).history
    assert history["conv_1/kernel_disagreement"] == history["conv_1/kernel_flip_ratio"] == [0.0]
    assert "conv_1/kernel_flips" not in history


def test_models_that_do_not_fit_raise(data):
    model = vgg(width=8)
    model.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"Expected a model with a kbnn\.quantizers\.LearnedSign"):
        model.fit(*data, callbacks=[kbnn.callbacks.LearnedSignMonitor()], verbose=0)
    learned = vgg(width=8, kernel_quantizer=LearnedSign())
    learned.compile("adam", "sparse_categorical_crossentropy")
    other = kbnn.callbacks.LearnedSignMonitor(vgg(width=4))
    with pytest.raises(ValueError, match="Expected `pretrained` to have a layer 'conv_1'"):
        learned.fit(*data, callbacks=[other], verbose=0)
    one = {"kernel_quantizer": LearnedSign(), "kernel_constraint": "weight_clip"}
    layers = [lq.layers.QuantDense(8, name=name, **one) for name in ("first", "second")]
    shared = keras.Sequential([keras.Input((8,)), *layers])
    shared.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"one that .*/kernel and .*/kernel share"):
        shared.fit(
            *(np.zeros((4, 8)), np.zeros((4, 8))),
            callbacks=[kbnn.callbacks.LearnedSignMonitor()],
            verbose=0,
        )


def test_flips_are_counted_from_learned_signs(data):
    first = kbnn.requantize(vgg(width=8), kernel_quantizer=LearnedSign(weight=0.0))
    first.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    first.fit(*data, epochs=2, verbose=0)
    more = kbnn.requantize(first, kernel_quantizer=LearnedSign(0.2))
    more.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    for before in (first, kbnn.converters.freeze(first)):
        monitor = kbnn.callbacks.LearnedSignMonitor(before)
        history = more.fit(*data, callbacks=[monitor], verbose=0).history
        assert history["conv_2/kernel_flips"] == [0.0]
        assert history["conv_2/kernel_disagreement"][0] > 0


def test_flips_of_layers_with_the_same_name_are_kept_apart(data):
    def block(name):
        image = keras.Input((6, 6, 4))
        x = lq.layers.QuantConv2D(
            4, 3, padding="same", kernel_quantizer="ste_sign", kernel_constraint="weight_clip",
            name="conv",
        )(image)  # fmt: skip
        return keras.Model(image, x, name=name)

    image = keras.Input((12, 12, 1))
    x = keras.layers.Conv2D(4, 4, 2, "same")(image)
    x = keras.layers.Flatten()(block("second")(block("first")(x)))
    model = keras.Model(image, keras.layers.Dense(10, activation="softmax")(x))
    more = kbnn.requantize(model, kernel_quantizer=LearnedSign())
    more.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    history = more.fit(
        *data, callbacks=[kbnn.callbacks.LearnedSignMonitor(model)], verbose=0
    ).history
    flips = [value for name, (value,) in history.items() if name.endswith("flips")]
    assert flips == [0.0, 0.0]


def test_a_pretrained_network_that_is_not_a_model_raises():
    with pytest.raises(TypeError, match="`pretrained` to be a Keras 2 model"):
        kbnn.callbacks.LearnedSignMonitor("runs/first")
