"""LearnedSignMonitor logs what a calculation by hand gives."""

import larq as lq
import numpy as np
import pytest
import tf_keras as keras

import kbnn
from kbnn.quantizers import LearnedSign
from tests.techniques.small_network import (
    CLASSES,
    SHAPE,
    compiled,
    images,
    labels,
    small_network,
)


def fit(model, *callbacks, **options):
    options = {"verbose": 0, "callbacks": callbacks, **options}
    return model.fit(images(), labels(), **options).history


def test_the_logs_say_what_the_mapping_does():
    model = small_network()
    learned = kbnn.requantize(model, kernel_quantizer=LearnedSign(noise_rate=0.2))
    layer = learned.get_layer("conv")
    (last,) = [weight for weight in layer.kernel_quantizer.weights if "kernel_2" in weight.name]
    last.assign(np.random.default_rng(1).normal(size=last.shape))
    monitor = kbnn.callbacks.LearnedSignMonitor(model)
    history = fit(compiled(learned), monitor, epochs=2)
    kernel = layer.kernel.latent_variable
    signs = kbnn.converters.freeze(learned).get_layer("conv").get_weights()[0] > 0
    disagreement = np.mean(signs != (kernel.numpy() >= 0))
    assert history["conv/kernel_disagreement"][-1] == pytest.approx(disagreement)
    assert disagreement > 0
    before = model.get_layer("conv").get_weights()[0] >= 0
    assert history["conv/kernel_flips"][-1] == pytest.approx(np.mean(signs != before))
    loss = float(layer.kernel_quantizer.auxiliary_loss(kernel))
    assert history["conv/kernel_auxiliary_loss"][-1] == pytest.approx(loss, rel=1e-4)


def frozen_rate(model):
    """Compile a model so that `fit` does not change it."""
    model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    return model


def test_a_new_mapping_has_no_effect():
    model = frozen_rate(kbnn.requantize(small_network(), kernel_quantizer=LearnedSign()))
    history = fit(model, kbnn.callbacks.LearnedSignMonitor(), kbnn.callbacks.BinarizationMonitor())
    assert history["conv/kernel_disagreement"] == history["conv/kernel_flip_ratio"] == [0.0]
    assert "conv/kernel_flips" not in history


def test_models_that_do_not_fit_raise():
    with pytest.raises(ValueError, match=r"Expected a model with a kbnn\.quantizers\.LearnedSign"):
        fit(compiled(small_network()), kbnn.callbacks.LearnedSignMonitor())
    learned = compiled(small_network(kernel_quantizer=LearnedSign()))
    other = kbnn.callbacks.LearnedSignMonitor(small_network(filters=8))
    with pytest.raises(ValueError, match="Expected `pretrained` to have a layer 'conv'"):
        fit(learned, other)
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


def test_flips_are_counted_from_learned_signs():
    first = kbnn.requantize(small_network(), kernel_quantizer=LearnedSign(weight=0.0))
    fit(compiled(first), epochs=4)
    more = frozen_rate(kbnn.requantize(first, kernel_quantizer=LearnedSign(0.2)))
    for before in (first, kbnn.converters.freeze(first)):
        history = fit(more, kbnn.callbacks.LearnedSignMonitor(before))
        assert history["conv/kernel_flips"] == [0.0]
        assert history["conv/kernel_disagreement"][0] > 0


def test_flips_of_layers_with_the_same_name_are_kept_apart():
    def block(name):
        image = keras.Input((6, 6, 2))
        x = lq.layers.QuantConv2D(
            2, 3, padding="same", kernel_quantizer="ste_sign", kernel_constraint="weight_clip",
            name="conv",
        )(image)  # fmt: skip
        return keras.Model(image, x, name=name)

    image = keras.Input(SHAPE)
    x = keras.layers.Flatten()(block("second")(block("first")(image)))
    model = keras.Model(image, keras.layers.Dense(CLASSES, activation="softmax")(x))
    more = frozen_rate(kbnn.requantize(model, kernel_quantizer=LearnedSign()))
    history = fit(more, kbnn.callbacks.LearnedSignMonitor(model))
    flips = [value for name, (value,) in history.items() if name.endswith("flips")]
    assert flips == [0.0, 0.0]


def test_a_pretrained_network_that_is_not_a_model_raises():
    with pytest.raises(TypeError, match="`pretrained` to be a Keras 2 model"):
        kbnn.callbacks.LearnedSignMonitor("runs/first")
