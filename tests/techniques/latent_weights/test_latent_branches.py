"""Latent branches of binary layers: the mixture, and the added gradient."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from kbnn.techniques.latent_weights.latent_layer import rescale_to_mean_abs
from kbnn.trainers import LatentGradientTrainer, LatentMixtureTrainer, LatentWeightTrainer


def dense_model(**options):
    """A model of one binary dense layer."""
    keras.utils.set_random_seed(0)
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", **options}
    vector = keras.Input((6,))
    options = {"kernel_constraint": "weight_clip", "bias_initializer": "normal", **signs}
    layer = lq.layers.QuantDense(4, name="layer", **options)
    return keras.Model(vector, layer(vector))


def constant(share):
    return keras.optimizers.schedules.PolynomialDecay(share, 1, share)


@pytest.fixture
def batch(rng):
    return rng.normal(size=(16, 6)).astype("f"), rng.integers(0, 4, 16)


def sign(x):
    return np.where(x >= 0, 1.0, -1.0)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_mixture_is_the_share_of_each(share, batch):
    model = dense_model()
    trainer = LatentMixtureTrainer(model, constant(share))
    trainer.compile("sgd", "mse")
    found, terms = trainer.forward(batch[0], None, None)
    kernel, bias = model.get_weights()
    assert np.abs(bias).min() > 0
    real = np.clip(batch[0], -1, 1) @ kernel / np.abs(kernel).mean()
    expected = share * sign(batch[0]) @ sign(kernel) + (1 - share) * real
    np.testing.assert_allclose(found, expected + bias, rtol=1e-4, atol=1e-5)
    assert terms == {}


def test_the_share_follows_its_schedule_and_is_logged(batch):
    trainer = LatentMixtureTrainer(
        dense_model(), keras.optimizers.schedules.PolynomialDecay(0.0, 4, 1.0)
    )
    trainer.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = trainer.fit(*batch, batch_size=4, epochs=2, verbose=0).history
    assert history["binary_share"] == [pytest.approx((0 + 0.25 + 0.5 + 0.75) / 4), 1.0]


def test_what_training_alone_has_is_not_in_the_logs_of_a_validation(batch):
    trainer = LatentMixtureTrainer(dense_model(), constant(0.5))
    trainer.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = trainer.fit(*batch, validation_data=batch, verbose=0).history
    assert set(history) == {"loss", "val_loss", "binary_share"}
    assert np.ndim(trainer.evaluate(*batch, verbose=0)) == 0


def test_the_weight_of_a_gradient_may_follow_a_schedule(batch):
    trainer = LatentGradientTrainer(
        dense_model(), keras.optimizers.schedules.PolynomialDecay(1.0, 4, 0.0)
    )
    trainer.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = trainer.fit(*batch, batch_size=4, epochs=2, verbose=0).history
    assert history["latent_weight"] == [pytest.approx((1 + 0.75 + 0.5 + 0.25) / 4), 0.0]


@pytest.mark.parametrize("size", [None, 1.0, 3.0])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_kernel_is_brought_to_a_size_and_its_gradient_to_that_of_signs(size, dtype, rng):
    kernel = tf.constant(rng.normal(0, 0.02, (3, 3, 4, 5)), dtype)
    mean = np.abs(kernel.numpy().astype("f")).mean()
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        found = rescale_to_mean_abs(kernel, size)
    tolerance = {"float32": 1e-5, "float16": 2e-3}[dtype]
    target = mean if size is None else size
    np.testing.assert_allclose(found, kernel.numpy() * (target / mean), rtol=tolerance)
    gradient = tape.gradient(found, kernel)
    np.testing.assert_allclose(gradient, np.full(kernel.shape, target), rtol=tolerance)
    assert found.dtype == gradient.dtype == kernel.dtype
    if size is None:
        np.testing.assert_array_equal(found, kernel)
    assert not np.any(rescale_to_mean_abs(tf.zeros_like(kernel), size))


def test_at_a_share_of_one_the_training_is_the_plain_one(batch):
    plain, mixed = dense_model(), dense_model()
    for model in (plain, LatentMixtureTrainer(mixed, constant(1.0))):
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(*batch, batch_size=4, epochs=3, verbose=0, shuffle=False)
    for one, other in zip(plain.get_weights(), mixed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("weight", [0.0, 0.5, 2.0])
def test_the_gradient_is_that_of_both_and_the_value_the_binary_one(weight, batch):
    model = dense_model()
    trainer = LatentGradientTrainer(model, weight)
    trainer.compile("sgd", "mse")
    x, upstream = tf.constant(batch[0]), np.random.default_rng(1).normal(size=(16, 4))
    kernel, bias = model.trainable_variables

    def gradients(function):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = function()
            value = tf.reduce_sum(outputs * upstream.astype("f"))
        return outputs, tape.gradient(value, [kernel, x, bias])

    found, of_both = gradients(lambda: trainer.forward(x, None, None)[0])
    expected, of_binary = gradients(lambda: model(x, training=True))
    latent = tf.constant(model.get_weights()[0])
    size = tf.reduce_mean(tf.abs(latent))
    real = weight * tf.clip_by_value(x, -1.0, 1.0)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(of_both[2], of_binary[2])
    np.testing.assert_allclose(
        of_both[0], of_binary[0] + tf.transpose(real) @ upstream.astype("f"), rtol=1e-4, atol=1e-5
    )
    inside = tf.cast(tf.abs(x) <= 1, tf.float32)
    of_real = weight * inside * (upstream.astype("f") @ tf.transpose(latent / size))
    np.testing.assert_allclose(of_both[1], of_binary[1] + of_real, rtol=1e-4, atol=1e-5)


def test_of_a_separable_layer_quantized_kernels_alone_are_resized(rng):
    image = keras.Input((5, 5, 2))
    layer = lq.layers.QuantSeparableConv2D(
        3, 3, depthwise_quantizer="ste_sign", depthwise_constraint="weight_clip"
    )
    model = keras.Model(image, layer(image))
    trainer = LatentMixtureTrainer(model, constant(0.0))
    trainer.compile("sgd", "mse")
    depthwise, pointwise, _ = model.get_weights()
    x = rng.normal(size=(4, 5, 5, 2)).astype("f")
    size = np.abs(depthwise).mean()
    expected = tf.nn.separable_conv2d(x, depthwise / size, pointwise, [1, 1, 1, 1], "VALID")
    np.testing.assert_allclose(trainer.forward(x, None, None)[0], expected, rtol=1e-4, atol=1e-5)


class _Gated(lq.layers.QuantDense):
    """A binary layer with an additional weight, whose name differs from its attribute's."""

    def build(self, input_shape):
        super().build(input_shape)
        self.factor = self.add_weight("gate", (self.units,), initializer="normal")

    def call(self, inputs):
        return super().call(inputs) * self.factor


def test_a_layers_own_weights_count_in_both_parts(batch):
    vector = keras.Input((6,))
    signs = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    model = keras.Model(vector, _Gated(4, use_bias=False, **signs)(vector))
    trainer = LatentMixtureTrainer(model, constant(0.0))
    trainer.compile("sgd", "mse")
    assert len(trainer.trainable_weights) == 2
    kernel, gate = model.get_weights()
    expected = (batch[0] @ kernel / np.abs(kernel).mean()) * gate
    found, _ = trainer.forward(batch[0], None, None)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_kernels_that_keep_their_size_when_quantized_keep_it(batch):
    model = dense_model(kernel_quantizer="magnitude_aware_sign")
    trainer = LatentMixtureTrainer(model, constant(0.0))
    trainer.compile("sgd", "mse")
    kernel, bias = model.get_weights()
    expected = np.clip(batch[0], -1, 1) @ kernel + bias
    found, _ = trainer.forward(batch[0], None, None)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_signs_of_their_own_are_taken_by_both_parts(batch):
    vector = keras.Input((6,))
    x = keras.layers.Activation(lq.quantizers.SteSign())(vector)
    signs = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    model = keras.Model(vector, lq.layers.QuantDense(4, use_bias=False, **signs)(x))
    trainer = LatentMixtureTrainer(model, constant(0.0))
    trainer.compile("sgd", "mse")
    (kernel,) = model.get_weights()
    expected = sign(batch[0]) @ kernel / np.abs(kernel).mean()
    found, _ = trainer.forward(batch[0], None, None)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_latent_kernels_of_a_learned_sign_are_read_and_not_its_mapping(batch):
    quantizer = kbnn.quantizers.LearnedSign(weight=0.0)
    model = dense_model(kernel_quantizer=quantizer)
    (last,) = [weight for weight in quantizer.weights if "kernel_2" in weight.name]
    last.assign(np.ones(last.shape))
    trainer = LatentMixtureTrainer(model, constant(0.0))
    trainer.compile("sgd", "mse")
    kernel = tf.convert_to_tensor(model.get_layer("layer").kernel.latent_variable).numpy()
    expected = np.clip(batch[0], -1, 1) @ kernel / np.abs(kernel).mean()
    expected += model.get_layer("layer").bias.numpy()
    found, _ = trainer.forward(batch[0], None, None)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


class _Normalizing(lq.layers.QuantDense):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.normalize = keras.layers.BatchNormalization()

    def call(self, inputs):
        return self.normalize(super().call(inputs))


class _TwoGates(lq.layers.QuantDense):
    def build(self, input_shape):
        super().build(input_shape)
        self.gates = [self.add_weight("gate", (self.units,)) for _ in range(2)]


class _Block(keras.layers.Layer):
    """A layer that holds a binary one."""

    def __init__(self, **options):
        super().__init__(**options)
        self.inner = lq.layers.QuantDense(4, kernel_quantizer="ste_sign")

    def call(self, inputs):
        return self.inner(inputs)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: _Normalizing(4, kernel_quantizer="ste_sign", name="mine"), "'mine' with .*gamma"),
        (lambda: _TwoGates(4, kernel_quantizer="ste_sign", name="mine"), "'mine' with .*gate"),
        (lambda: _Block(name="mine"), "'mine', a _Block"),
    ],
)
@pytest.mark.parametrize("trainer", [LatentGradientTrainer, LatentWeightTrainer])
def test_weights_that_would_not_be_the_models_are_refused(trainer, make, message):
    vector = keras.Input((6,))
    x = lq.layers.QuantDense(6, kernel_quantizer="ste_sign", kernel_constraint="weight_clip")(
        vector
    )
    model = keras.Model(vector, keras.layers.Dense(3)(make()(x)))
    with pytest.raises(ValueError, match=message if trainer is LatentGradientTrainer else "'mine'"):
        trainer(model)


@pytest.mark.parametrize(
    "make", [LatentGradientTrainer, lambda x, **o: LatentMixtureTrainer(x, constant(0.0), **o)]
)
def test_the_activation_is_the_one_that_is_given(make, batch):
    outputs = []
    for activation in ("hard_tanh", "relu"):
        model = dense_model()
        trainer = make(model, activation=activation)
        trainer.compile("sgd", "mse")
        kernel = model.trainable_variables[0]
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(trainer.forward(batch[0], None, None)[0])
        outputs.append(tape.gradient(value, kernel))
    functions = (lambda x: np.clip(x, -1, 1), lambda x: np.maximum(x, 0))
    one, other = (np.repeat(f(batch[0]).sum(0)[:, None], 4, axis=1) for f in functions)
    np.testing.assert_allclose(outputs[1] - outputs[0], other - one, rtol=1e-4, atol=1e-4)


def test_smooth_kernels_have_the_size_of_latent_ones(batch):
    quantizer = kbnn.quantizers.SmoothSign(sharpness=2.0)
    model = dense_model(kernel_quantizer=quantizer, use_bias=False)
    trainer = LatentMixtureTrainer(model, constant(0.0))
    trainer.compile("sgd", "mse")
    (kernel,) = model.trainable_weights
    kernel = tf.convert_to_tensor(kernel).numpy()
    size = np.abs(np.tanh(2.0 * kernel)).mean()
    expected = np.clip(batch[0], -1, 1) @ kernel * (size / np.abs(kernel).mean())
    found, _ = trainer.forward(batch[0], None, None)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["mixture", "gradient"])
def test_mixed_precision(kind, batch):
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = dense_model()
        trainer = (
            LatentGradientTrainer(model, 0.5)
            if kind == "gradient"
            else LatentMixtureTrainer(model, constant(0.5))
        )
    finally:
        keras.mixed_precision.set_global_policy("float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trainer.compile(keras.optimizers.Adam(0.01), loss)
    history = trainer.fit(*batch, batch_size=8, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
