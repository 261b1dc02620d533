"""Terms by which a real-valued path teaches a binary one."""

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from kbnn.losses import distillation, feature_distance


@pytest.fixture
def pair(rng):
    return rng.normal(0, 3, (2, 5, 7)).astype(np.float32)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_distillation_is_the_divergence_times_the_temperature_squared(pair, temperature):
    student, teacher = (scipy.special.softmax(z / temperature, axis=-1) for z in pair)
    expected = temperature**2 * np.sum(teacher * np.log(teacher / student), axis=-1)
    found = distillation(*pair, temperature)
    assert found.shape == (5,)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(distillation(pair[0], pair[0], temperature), 0, atol=1e-5)


def test_distillation_does_not_see_what_a_softmax_does_not(pair):
    np.testing.assert_allclose(
        distillation(pair[0] + 100, pair[1] - 50, 2.0), distillation(*pair, 2.0), atol=1e-3
    )


def test_features_are_compared_by_direction(rng):
    one, other = rng.normal(size=(2, 3, 4, 4, 2)).astype(np.float32)
    rows = [a.reshape(3, -1) / np.linalg.norm(a.reshape(3, -1), axis=1, keepdims=True)
            for a in (one, other)]  # fmt: skip
    expected = np.sum((rows[0] - rows[1]) ** 2, axis=1)
    np.testing.assert_allclose(feature_distance(one, other), expected, rtol=1e-5)
    np.testing.assert_allclose(feature_distance(7 * one, one), 0, atol=1e-6)
    np.testing.assert_allclose(feature_distance(one, -one), 4, rtol=1e-5)
    np.testing.assert_array_equal(feature_distance(0 * one, 0 * one), 0)


@pytest.mark.parametrize("loss", [distillation, feature_distance])
def test_the_real_path_gets_no_gradient_and_half_precision_is_float32_inside(loss, pair):
    binary, real = (tf.constant(array, tf.float16) for array in pair)
    with tf.GradientTape() as tape:
        tape.watch([binary, real])
        value = loss(binary, real)
    gradients = tape.gradient(value, [binary, real])
    assert value.dtype == tf.float32
    assert np.abs(gradients[0]).max() > 0
    assert gradients[1] is None
