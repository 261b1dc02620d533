"""The smooth sign against the sign, its derivative against automatic differentiation."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from kbnn.math import smooth_sign

positive = st.floats(0.5, 1000)


def derivative(x, sharpness, **options):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = smooth_sign(x, sharpness, **options)
    return tape.gradient(y, x).numpy()


@given(st.lists(st.floats(-5, 5, width=32).filter(bool), min_size=1), positive)
def test_the_distance_to_the_sign_is_bounded(x, sharpness):
    x = np.array(x)
    distance = np.abs(smooth_sign(x, sharpness) - np.sign(x))
    assert (distance <= 2 * np.exp(-2 * sharpness * np.abs(x)) + 1e-15).all()


def test_the_mean_distance_on_normal_numbers_is_0_553_by_the_sharpness():
    # The density of the normal distribution at zero, times the integral of 1 - |tanh|.
    x = np.linspace(-8, 8, 2_000_001)
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    distance = np.abs(smooth_sign(x, 100.0) - np.sign(x))
    by_quadrature = np.sum(density * distance) * (x[1] - x[0])
    assert by_quadrature == pytest.approx(0.00553, rel=0.01)
    drawn = np.random.default_rng(0).normal(size=1_000_000)
    by_samples = np.mean(np.abs(smooth_sign(drawn, 100.0) - np.sign(drawn)))
    assert by_samples == pytest.approx(0.00553, rel=0.03)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 10.0, 1000.0])
@pytest.mark.parametrize("hard_forward", [False, True])
def test_the_gradient_is_that_of_automatic_differentiation(sharpness, hard_forward):
    x = tf.constant(np.linspace(-5, 5, 1001) / sharpness)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.tanh(sharpness * x)
    expected = tape.gradient(y, x)
    found = derivative(x, sharpness, hard_forward=hard_forward)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_gradient_by_the_sharpness_is_that_of_automatic_differentiation():
    x = tf.constant([[-1.5, 0.1], [0.0, 0.7]], tf.float64)
    sharpness = tf.constant(2.0, tf.float64)
    gradients = []
    for function in (smooth_sign, lambda x, sharpness: tf.tanh(sharpness * x)):
        with tf.GradientTape() as tape:
            tape.watch(sharpness)
            y = tf.reduce_sum(tf.square(function(x, sharpness)))
        gradients.append(tape.gradient(y, sharpness).numpy())
    assert gradients[0] == pytest.approx(gradients[1], rel=1e-6)


def test_the_hard_forward_keeps_the_sign_of_the_smallest_numbers():
    x = tf.constant([-1e-37, 1e-37])
    assert smooth_sign(x, 1e-20, hard_forward=True).numpy().tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("z", [20.0, -20.0, 43.0])
def test_the_gradient_in_float32_does_not_vanish(z):
    assert derivative(np.float32(z / 10), 10.0) > 0
    assert 1 - np.tanh(np.float32(z)) ** 2 == 0


@pytest.mark.parametrize("sharpness", [1.0, 10.0, 1000.0])
def test_the_gradient_integrates_to_the_jump_of_the_sign(sharpness):
    x = np.linspace(-20, 20, 400_001) / sharpness
    assert np.sum(derivative(x, sharpness)) * (x[1] - x[0]) == pytest.approx(2, rel=1e-6)


def test_the_gradient_has_a_gradient():
    x = tf.constant([0.3, -0.7], tf.float64)

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = smooth_sign(x, 1.0)
        return tape.gradient(y, x)

    theoretical, numerical = tf.test.compute_gradient(gradient, [x])
    np.testing.assert_allclose(theoretical, numerical, rtol=1e-5)


def test_the_hard_forward_may_be_a_tensor_and_zero_is_positive():
    x = tf.constant([-2.0, -0.0, 0.0, 0.1])
    hard = [-1.0, 1.0, 1.0, 1.0]
    np.testing.assert_array_equal(smooth_sign(x, 2.0, hard_forward=True), hard)
    np.testing.assert_array_equal(smooth_sign(x, 2.0, hard_forward=tf.constant(True)), hard)
    soft = smooth_sign(x, 2.0, hard_forward=tf.constant(False))
    np.testing.assert_allclose(soft, np.tanh([-4, 0, 0, 0.2]), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(dtype):
    x = tf.cast([0.001, 0.1, -3.0], dtype)
    y = smooth_sign(x, 1000.0)
    assert y.dtype == dtype
    expected = tf.cast(tf.tanh(1000 * tf.cast(x, "float32")), dtype)
    np.testing.assert_array_equal(tf.cast(y, "float32"), tf.cast(expected, "float32"))


def test_layers_of_random_weights_agree_with_their_signs_as_often_as_the_sharpness_says():
    # Of 128-input layers with W ~ N(0, 0.05^2): 70, 82, 92, 97.7 and 99.7 % of the signs.
    rng = np.random.default_rng(0)
    w = 0.05 * rng.normal(size=(128, 512))
    x = rng.normal(size=(512, 128))
    hard = np.sign(np.where(x >= 0, 1.0, -1.0) @ np.where(w >= 0, 1.0, -1.0))
    shares = []
    for sharpness in (1.0, 10.0, 100.0, 1000.0, 10000.0):
        soft = smooth_sign(x, sharpness).numpy() @ smooth_sign(w, sharpness).numpy()
        decided = hard != 0
        shares.append(np.mean((np.sign(soft) == hard)[decided]))
    assert shares == sorted(shares)
    assert shares[0] < 0.8 < 0.99 < shares[-1]


def test_integers_are_refused():
    with pytest.raises(TypeError, match="Received: int32"):
        smooth_sign([1, 2], 1.0)
