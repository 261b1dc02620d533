"""Binary layers that compute with their latent weights too: a mixture, and a second gradient."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from kbnn.training import LatentGradientModel, LatentMixtureModel


def host(**options):
    """A binary dense layer alone."""
    keras.utils.set_random_seed(0)
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", **options}
    vector = keras.Input((6,))
    layer = lq.layers.QuantDense(4, kernel_constraint="weight_clip", name="layer", **signs)
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
    model = host()
    trainer = LatentMixtureModel(model, constant(share))
    trainer.compile("sgd", "mse")
    found, terms = trainer.forward(batch[0], None, None)
    kernel, bias = model.get_weights()
    real = np.clip(batch[0], -1, 1) @ kernel / np.abs(kernel).mean()
    expected = share * sign(batch[0]) @ sign(kernel) + (1 - share) * real
    np.testing.assert_allclose(found, expected + bias, rtol=1e-4, atol=1e-5)
    assert terms == {}


def test_the_share_follows_its_schedule_and_is_logged(batch):
    trainer = LatentMixtureModel(host(), keras.optimizers.schedules.PolynomialDecay(0.0, 4, 1.0))
    trainer.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = trainer.fit(*batch, batch_size=4, epochs=2, verbose=0).history
    assert history["binary_share"] == [pytest.approx((0 + 0.25 + 0.5 + 0.75) / 4), 1.0]


def test_at_a_share_of_one_the_training_is_the_plain_one(batch):
    plain, mixed = host(), host()
    for model in (plain, LatentMixtureModel(mixed, constant(1.0))):
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(*batch, batch_size=4, epochs=3, verbose=0, shuffle=False)
    for one, other in zip(plain.get_weights(), mixed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("weight", [0.0, 0.5, 2.0])
def test_the_gradient_is_that_of_both_and_the_value_the_binary_one(weight, batch):
    model = host()
    trainer = LatentGradientModel(model, weight)
    trainer.compile("sgd", "mse")
    x, upstream = tf.constant(batch[0]), np.random.default_rng(1).normal(size=(16, 4))
    kernel = model.get_layer("layer").kernel

    def gradients(function):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = function()
            value = tf.reduce_sum(outputs * upstream.astype("f"))
        return outputs, tape.gradient(value, [kernel, x])

    found, of_both = gradients(lambda: trainer.forward(x, None, None)[0])
    expected, of_binary = gradients(lambda: model(x, training=True))
    latent = tf.constant(model.get_weights()[0])
    size = tf.reduce_mean(tf.abs(latent))
    real = weight * tf.clip_by_value(x, -1.0, 1.0)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(
        of_both[0], of_binary[0] + tf.transpose(real) @ upstream.astype("f"), rtol=1e-4, atol=1e-5
    )
    inside = tf.cast(tf.abs(x) <= 1, tf.float32)
    of_real = weight * inside * (upstream.astype("f") @ tf.transpose(latent / size))
    np.testing.assert_allclose(of_both[1], of_binary[1] + of_real, rtol=1e-4, atol=1e-5)


def test_signs_of_their_own_are_taken_by_both_parts(batch):
    vector = keras.Input((6,))
    x = keras.layers.Activation(lq.quantizers.SteSign())(vector)
    signs = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    model = keras.Model(vector, lq.layers.QuantDense(4, use_bias=False, **signs)(x))
    trainer = LatentMixtureModel(model, constant(0.0))
    trainer.compile("sgd", "mse")
    (kernel,) = model.get_weights()
    expected = sign(batch[0]) @ kernel / np.abs(kernel).mean()
    found, _ = trainer.forward(batch[0], None, None)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_latent_kernels_of_a_learned_sign_are_read_and_not_its_mapping(batch):
    quantizer = kbnn.quantizers.LearnedSign(weight=0.0)
    model = host(kernel_quantizer=quantizer)
    (last,) = [weight for weight in quantizer.weights if "kernel_2" in weight.name]
    last.assign(np.ones(last.shape))
    trainer = LatentMixtureModel(model, constant(0.0))
    trainer.compile("sgd", "mse")
    kernel = tf.convert_to_tensor(model.get_layer("layer").kernel.latent_variable).numpy()
    expected = np.clip(batch[0], -1, 1) @ kernel / np.abs(kernel).mean()
    found, _ = trainer.forward(batch[0], None, None)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
