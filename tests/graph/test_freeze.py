"""Freeze: the same function, +-1 constants, and a model that only needs Larq to load."""

import os
import subprocess
import sys

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from kbnn.converters import freeze
from kbnn.graph import Replacement
from tests.converters.networks import (
    BINARY,
    SHAPE,
    chain,
    images,
    nested,
    one_layer,
    randomised,
    residual,
)


@pytest.mark.parametrize("network", [chain, residual, nested])
@pytest.mark.parametrize("quantizer", ["ste_sign", "approx_sign", "swish_sign"])
def test_computes_exactly_what_the_model_does(network, quantizer):
    model = network()
    frozen = freeze(model)
    x = images(model)
    np.testing.assert_array_equal(frozen.predict(x), model.predict(x))
    assert [layer.name for layer in frozen.layers] == [layer.name for layer in model.layers]


@pytest.mark.parametrize("kind", ["ste_sign", "approx_sign", "swish_sign"])
def test_every_sign_becomes_ste_sign_and_kernels_plus_minus_one(kind):
    model = chain(input_quantizer=kind, kernel_quantizer=kind)
    frozen = freeze(model)
    for name in ["conv_1", "conv_2", "conv_3"]:
        layer = frozen.get_layer(name)
        assert type(layer.input_quantizer) is lq.quantizers.SteSign
        assert set(np.unique(layer.get_weights()[0])) == {-1.0, 1.0}
        assert layer.kernel_constraint is None
        latent = model.get_layer(name).get_weights()[0]
        np.testing.assert_array_equal(layer.get_weights()[0], np.where(latent >= 0, 1.0, -1.0))
    x = images(model)
    np.testing.assert_array_equal(frozen.predict(x), model.predict(x))


def test_scaled_kernels_keep_their_scale():
    model = one_layer(lq.layers.QuantConv2D(8, 3, kernel_quantizer="magnitude_aware_sign"))
    latent = model.get_weights()[0]
    alpha = np.abs(latent).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(
        freeze(model).get_weights()[0], np.where(latent >= 0, alpha, -alpha), rtol=1e-6
    )


def test_quantizers_that_are_no_signs_stay():
    model = one_layer(
        lq.layers.QuantConv2D(
            8, 3, input_quantizer=lq.quantizers.DoReFa(k_bit=2), kernel_quantizer="ste_tern"
        )
    )
    frozen = freeze(model)
    assert frozen.layers[1].input_quantizer.precision == 2
    assert frozen.layers[1].kernel_quantizer.precision == 2
    assert set(np.unique(frozen.get_weights()[0])) == {-1.0, 0.0, 1.0}
    x = images(model)
    np.testing.assert_array_equal(frozen.predict(x), model.predict(x))


def test_quantizers_as_layers_and_activations_are_frozen():
    x = keras.Input((6,))
    y = lq.quantizers.ApproxSign(name="sign")(x)
    y = keras.layers.Dense(4, activation=lq.quantizers.SwishSign(), name="dense")(y)
    frozen = freeze(keras.Model(x, y))
    assert type(frozen.get_layer("sign")) is lq.quantizers.SteSign
    assert type(frozen.get_layer("dense").activation) is lq.quantizers.SteSign


def test_mixed_precision_is_dropped():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = chain()
    finally:
        keras.mixed_precision.set_global_policy("float32")
    frozen = freeze(model)
    assert {layer.compute_dtype for layer in frozen.layers} == {"float32"}
    assert frozen.output.dtype == "float32"


def test_depthwise_and_separable_kernels_are_evaluated(rng):
    model = one_layer(
        lq.layers.QuantSeparableConv2D(
            4, 3, depthwise_quantizer="ste_sign", pointwise_quantizer="ste_sign"
        )
    )
    depthwise, pointwise, _ = freeze(model).get_weights()
    assert set(np.unique(depthwise)) == set(np.unique(pointwise)) == {-1.0, 1.0}
    np.testing.assert_array_equal(
        freeze(model).predict(images(model)), model.predict(images(model))
    )


def test_freezing_twice_changes_nothing():
    frozen = freeze(chain())
    again = freeze(frozen)
    assert again.to_json() == frozen.to_json()
    for a, b in zip(frozen.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")
def test_loads_without_kbnn_from_every_format(tmp_path):
    """In a process where importing kbnn fails."""
    model = chain()
    frozen = freeze(model)
    suffixes = [".keras", ".h5", ""]
    for suffix in suffixes:
        frozen.save(tmp_path / f"frozen{suffix}")
    x = images(model, 2)
    np.save(tmp_path / "x.npy", x)
    code = f"""
import sys; sys.modules["kbnn"] = None
import tf_keras as keras, larq, numpy as np
for suffix in {suffixes}:
    model = keras.models.load_model("frozen" + suffix, compile=False)
    np.save("y" + suffix + ".npy", model.predict(np.load("x.npy"), verbose=0))
"""
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=tmp_path)
    expected = model.predict(x)
    for suffix in suffixes:
        np.testing.assert_allclose(np.load(tmp_path / f"y{suffix}.npy"), expected, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_by_name(value):
    model = nested()
    kernel = model.get_layer("block").get_layer("inner_conv").kernel.latent_variable
    broken = kernel.numpy()
    broken[0, 0, 0, :2] = value
    kernel.assign(broken)
    with pytest.raises(ValueError, match=r"Expected finite weights.*inner_conv.*2 of 9216"):
        freeze(model)


class HalfSign(lq.quantizers.Quantizer):
    """A quantizer with state that says what it freezes to."""

    precision = 1

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", initializer="ones", trainable=False)

    def call(self, inputs):
        return lq.math.sign(inputs) * self.scale

    def frozen_quantizer(self):
        return lq.quantizers.SteSign()


class TrainingOnly(keras.layers.Layer):
    """A layer that says what it freezes to."""

    def frozen_layer(self):
        return Replacement(keras.layers.Activation("linear", name=self.name))


def test_the_open_protocol():
    x = keras.Input((8, 8, 4))
    y = TrainingOnly(name="training_only")(x)
    y = lq.layers.QuantConv2D(
        4, 3, input_quantizer=HalfSign(), kernel_quantizer=HalfSign(), name="conv"
    )(y)
    model = randomised(keras.Model(x, y))
    for weight in model.weights:
        if "scale" in weight.name:
            weight.assign(1.0)
    frozen = freeze(model)
    assert type(frozen.get_layer("conv").input_quantizer) is lq.quantizers.SteSign
    assert type(frozen.get_layer("training_only")) is keras.layers.Activation
    assert len(frozen.weights) == 2
    np.testing.assert_array_equal(frozen.predict(images(model)), model.predict(images(model)))


def test_larq_counts_the_frozen_model_as_it_does_the_trained():
    counts = [lq.models.ModelProfile(model).weight_count(1) for model in (chain(), freeze(chain()))]
    assert counts == [32 * 64 * 9 + 64 * 64 * 9 + 64 * 128 * 9] * 2


def test_dense_layers(rng):
    model = one_layer(lq.layers.QuantDense(5, **BINARY), shape=(40,))
    np.testing.assert_array_equal(
        freeze(model).predict(images(model)), model.predict(images(model))
    )
    assert kbnn.converters.lint(model)[0].binary


def test_dropout_noise_and_augmentation_are_dropped():
    augment = keras.Sequential(
        [keras.Input(SHAPE), keras.layers.RandomFlip(), keras.layers.RandomRotation(0.1)]
    )
    x = keras.Input(SHAPE)
    y = keras.layers.GaussianNoise(0.1)(keras.layers.Dropout(0.5)(augment(x)))
    y = lq.layers.QuantConv2D(8, 3, name="conv", **BINARY)(y)
    model = randomised(keras.Model(x, y))
    frozen = freeze(model)
    assert [layer.name for layer in kbnn.graph.layers_of(frozen)][-1] == "conv"
    assert not any("random" in weight.name for weight in frozen.weights)
    np.testing.assert_array_equal(frozen.predict(images(model)), model.predict(images(model)))


def test_quantizers_hidden_in_a_wrapper_are_refused_by_name():
    x = keras.Input((2, *SHAPE))
    wrapped = keras.layers.TimeDistributed(lq.layers.QuantConv2D(8, 3, **BINARY), name="per_frame")
    with pytest.raises(TypeError, match=r"layer 'per_frame' \(TimeDistributed\) with the quantiz"):
        freeze(keras.Model(x, wrapped(x)))


def test_a_global_policy_of_mixed_precision_does_not_reach_the_frozen_model():
    model = chain()
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        frozen = freeze(model)
        np.testing.assert_array_equal(frozen.predict(images(model)), model.predict(images(model)))
    finally:
        keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize(
    "called",
    [
        lambda x: keras.layers.BatchNormalization(name="layer")(x, training=True),
        lambda x: keras.layers.BatchNormalization(name="layer")(x, True),
        lambda x: keras.layers.Dropout(0.5, name="layer")(x, training=True),
        lambda x: keras.layers.RandomFlip(name="layer")(x, training=True),
        lambda x: keras.Sequential(
            [keras.Input(SHAPE), keras.layers.BatchNormalization()], name="layer"
        )(x, training=True),
    ],
    ids=["batch normalization", "by position", "dropout", "augmentation", "nested model"],
)
def test_layers_called_in_training_are_refused_by_name(called):
    x = keras.Input(SHAPE)
    inner = keras.Model(x, called(x), name="inner")
    y = lq.layers.QuantConv2D(8, 3, **BINARY)(inner(x))
    model = keras.Model(x, y)
    with pytest.raises(ValueError, match=r"without training=True.*in the call of 'layer' \("):
        freeze(model)
    with pytest.raises(ValueError, match="without training=True"):
        kbnn.converters.lint(model)


def test_a_call_for_inference_and_a_normalization_that_is_not_trained_are_fine():
    x = keras.Input(SHAPE)
    y = keras.layers.Dropout(0.5)(x, training=False)
    y = keras.layers.BatchNormalization(trainable=False)(y, training=True)
    model = randomised(keras.Model(x, y))
    np.testing.assert_array_equal(
        freeze(model).predict(images(model)), model.predict(images(model))
    )


class UnregisteredSign(lq.quantizers.Quantizer):
    precision = 1

    def call(self, inputs):
        return lq.math.sign(inputs)


@keras.utils.register_keras_serializable("test")
class WrappedSign(lq.quantizers.Quantizer):
    precision = 1

    def __init__(self, inner=None, **kwargs):
        super().__init__(**kwargs)
        self.inner = lq.quantizers.get(inner)

    def get_config(self):
        return {**super().get_config(), "inner": lq.quantizers.serialize(self.inner)}

    def call(self, inputs):
        return self.inner(inputs)


@pytest.mark.parametrize(
    "copied", [freeze, lambda model: kbnn.graph.rewrite(model, lambda _: None)]
)
def test_a_quantizer_that_is_not_registered_is_named_with_the_way_out(copied):
    layer = lq.layers.QuantConv2D(
        8, 3, name="conv", **{**BINARY, "input_quantizer": UnregisteredSign()}
    )
    with pytest.raises(
        ValueError,
        match=r"quantizers of layer 'conv' to be registered.*input_quantizer=UnregisteredSign.*"
        r"@keras.utils.register_keras_serializable\(\"my_package\"\)",
    ):
        copied(one_layer(layer))


def test_a_quantizer_inside_another_and_an_activation_are_named():
    wrapped = WrappedSign(UnregisteredSign())
    layer = lq.layers.QuantConv2D(8, 3, name="conv", **{**BINARY, "input_quantizer": wrapped})
    with pytest.raises(ValueError, match=r"'wrapped_sign' to be.*inner=UnregisteredSign"):
        freeze(one_layer(layer))
    layer = keras.layers.Dense(4, activation=UnregisteredSign(), name="dense")
    with pytest.raises(ValueError, match=r"'dense' to be reg.*activation=UnregisteredSign"):
        freeze(one_layer(layer, (8,)))


def swish6(x):
    return x * tf.nn.relu6(x + 3.0) / 6.0


def uniform(shape, dtype=None):
    return tf.random.uniform(shape, -1.0, 1.0, dtype or tf.float32)


class UnregisteredInitializer(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None, **kwargs):
        return tf.zeros(shape, dtype or tf.float32) + 0.5


class UnregisteredRegularizer(keras.regularizers.Regularizer):
    def __call__(self, x):
        return tf.reduce_sum(x)

    def get_config(self):
        return {}


@pytest.mark.parametrize(
    "layer",
    [
        lambda: keras.layers.Activation(swish6),
        lambda: keras.layers.Dense(32, activation=swish6),
        lambda: lq.layers.QuantConv2D(8, 3, kernel_initializer=uniform, **BINARY),
        lambda: lq.layers.QuantConv2D(8, 3, kernel_initializer=UnregisteredInitializer(), **BINARY),
        lambda: lq.layers.QuantConv2D(8, 3, kernel_regularizer=UnregisteredRegularizer(), **BINARY),
        lambda: lq.layers.QuantConv2D(8, 3, **{**BINARY, "input_quantizer": tf.sign}),
    ],
    ids=["activation", "of a layer", "initializer", "initializer object", "regularizer", "sign"],
)
@pytest.mark.filterwarnings("ignore:The `keras.initializers.serialize")
def test_functions_and_objects_that_are_not_registered_are_copied(layer, rng):
    image = keras.Input((6, 6, 32))
    model = keras.Model(image, layer()(image))
    data = rng.normal(size=(2, 6, 6, 32)).astype("f")
    expected = model(data).numpy()
    np.testing.assert_array_equal(kbnn.converters.freeze(model)(data), expected)
    np.testing.assert_array_equal(kbnn.graph.rewrite(model, lambda layer: None)(data), expected)


def test_a_kernel_quantizer_need_not_be_registered():
    layer = lq.layers.QuantConv2D(8, 3, kernel_quantizer=UnregisteredSign())
    assert set(np.unique(freeze(one_layer(layer)).get_weights()[0])) == {-1.0, 1.0}


@keras.utils.register_keras_serializable("tests")
class LearnedThreshold(lq.quantizers.Quantizer):
    """A sign with a learned threshold. It says nothing about freezing, so it stays."""

    precision = 1

    def build(self, input_shape):
        self.threshold = self.add_weight("threshold", (input_shape[-1],), initializer="zeros")
        super().build(input_shape)

    def call(self, inputs):
        return super().call(lq.quantizers.ste_sign(inputs - self.threshold))


def test_an_input_quantizer_that_stays_keeps_its_weights():
    x = keras.Input(SHAPE, name="image")
    binary = {**BINARY, "input_quantizer": LearnedThreshold()}
    y = lq.layers.QuantConv2D(32, 3, name="conv", **binary)(LearnedThreshold(name="alone")(x))
    model = randomised(keras.Model(x, y))
    frozen = freeze(model)
    for name in ("alone", "conv"):
        before, after = (m.get_layer(name) for m in (model, frozen))
        quantizers = [getattr(layer, "input_quantizer", layer) for layer in (before, after)]
        np.testing.assert_array_equal(*[quantizer.threshold.numpy() for quantizer in quantizers])
    np.testing.assert_array_equal(frozen.predict(images(model)), model.predict(images(model)))


def test_an_activation_used_at_two_sizes():
    rprelu = kbnn.layers.RPReLU(name="rprelu")
    x = keras.Input((8, 8, 4), name="image")
    model = randomised(keras.Model(x, rprelu(keras.layers.MaxPooling2D()(rprelu(x)))))
    np.testing.assert_allclose(
        freeze(model).predict(images(model)), model.predict(images(model)), atol=1e-6
    )
