"""The mean of the unbiased squared error over the noise is the clean loss."""

import numpy as np
import pytest
import tensorflow as tf

from kbnn.losses import unbiased_squared_error

# With only symmetric rates, a swapped index would not show.
RATES = [(0.0, 0.0), (0.1, 0.1), (0.3, 0.05), (0.0, 0.4), (0.6, 0.3)]


def squared(q, y):
    return (q - y) ** 2


@pytest.fixture
def predictions(rng):
    return np.concatenate([rng.normal(scale=2, size=50), [-1.0, 0.0, 1.0]])


@pytest.mark.parametrize("rates", RATES)
@pytest.mark.parametrize("y", [1.0, -1.0])
def test_the_mean_over_the_noise_is_the_clean_loss(rates, y, predictions):
    flips = rates[0] if y > 0 else rates[1]
    kept, flipped = (
        unbiased_squared_error(predictions, np.full_like(predictions, label), *rates).numpy()
        for label in (y, -y)
    )
    mean = (1 - flips) * kept + flips * flipped
    np.testing.assert_allclose(mean, squared(predictions, y), atol=1e-6)


@pytest.mark.parametrize("rates", RATES)
@pytest.mark.parametrize("label", [1.0, -1.0])
def test_it_is_the_estimator_of_natarajan_et_al(rates, label, predictions):
    own, other = rates if label > 0 else rates[::-1]
    expected = (1 - other) * squared(predictions, label) - own * squared(predictions, -label)
    found = unbiased_squared_error(predictions, np.full_like(predictions, label), *rates)
    np.testing.assert_allclose(found, expected / (1 - sum(rates)), atol=1e-6)


def test_simulated_noise():
    """2,000,000 weights are flipped independently of the prediction."""
    rng = np.random.default_rng(0)
    count, rates = 2_000_000, (0.2, 0.1)
    y = np.where(
        rng.random(count) < 0.7, 1.0, -1.0
    )  # with balanced labels, swapped rates would cancel
    q = np.tanh(y + rng.normal(size=count))
    flipped = rng.random(count) < np.where(y > 0, *rates)
    noisy = np.where(flipped, -y, y)
    clean = squared(q, y)

    def z_score(estimate):
        difference = estimate - clean
        return difference.mean() / (difference.std() / np.sqrt(count))

    assert abs(z_score(unbiased_squared_error(q, noisy, *rates).numpy())) < 3
    assert abs(z_score(squared(q, noisy))) > 30
    assert abs(z_score(unbiased_squared_error(q, noisy, *rates[::-1]).numpy())) > 30
    assert abs(z_score(unbiased_squared_error(q, noisy, 0.15, 0.05).numpy())) > 30


@pytest.mark.parametrize("rates", RATES)
def test_the_gradient(rates, predictions):
    for label in (1.0, -1.0):
        q = tf.constant(predictions)
        with tf.GradientTape() as tape:
            tape.watch(q)
            loss = unbiased_squared_error(q, tf.fill(q.shape, label), *rates)
        own = rates[0] if label > 0 else rates[1]
        expected = 2 * (predictions - label) - 4 * own * label / (1 - sum(rates))
        np.testing.assert_allclose(tape.gradient(loss, q), expected, rtol=1e-9)


def test_it_is_the_squared_error_to_a_stretched_label(predictions):
    label = np.full_like(predictions, -1.0)
    found = unbiased_squared_error(predictions, label, 0.3, 0.05).numpy()
    stretched = (1 + 2 * 0.05 / 0.65) * label
    assert np.ptp(found - squared(predictions, stretched)) < 1e-12


def test_without_noise_it_is_the_loss_itself(predictions):
    label = np.sign(predictions - 0.1)
    found = unbiased_squared_error(predictions, label, 0.0, 0.0)
    np.testing.assert_allclose(found, squared(predictions, label), rtol=1e-9)


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ((-0.1, 0.1), "Received: rate_positive=-0.1"),
        ((0.1, float("nan")), "Received: rate_negative=nan"),
        ((0.1, "0.1"), "Received: rate_negative='0.1'"),
        ((0.5, 0.5), "sum is below 1"),
    ],
)
def test_rates_out_of_range_raise(rates, message):
    with pytest.raises(ValueError, match=message):
        unbiased_squared_error(1.0, 1.0, *rates)


def test_types_and_compilation():
    q = tf.constant([0.5, -0.25], tf.float16)
    label = tf.constant([1.0, -1.0])
    assert unbiased_squared_error(q, label, 0.1, 0.2).dtype == tf.float16
    compiled = tf.function(unbiased_squared_error, jit_compile=True)(
        tf.cast(q, "float32"), label, 0.1, 0.2
    )
    np.testing.assert_allclose(
        compiled, unbiased_squared_error(tf.cast(q, "float32"), label, 0.1, 0.2)
    )


def test_integers_raise():
    with pytest.raises(TypeError, match=r"Expected `prediction` .* Received: int32"):
        unbiased_squared_error([1, -1], [1, 1], 0.1, 0.1)


def test_labels_of_another_shape_raise():
    with pytest.raises(ValueError, match=r"Expected `noisy_label` in .* Received: \(3,\)"):
        unbiased_squared_error(tf.zeros([3, 1]), tf.ones([3]), 0.1, 0.1)
