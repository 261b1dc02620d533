"""Contrastive losses and bounds: the ratio form, exact values, information that is known."""

import math

import numpy as np
import pytest
import tensorflow as tf

import kbnn
from kbnn.techniques.contrastive.bounds import info_nce_bound, mutual_information_bound
from kbnn.techniques.contrastive.losses import info_nce_per_anchor, nce_per_anchor

TAU = 0.1


def unit(rng, *shape):
    values = rng.normal(size=shape)
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype("f")


def ratio_form(positive, negative, *, log_scale, size, temperature=TAU, keep=None):
    """The released code's form, in float64, with Z and the size M of the data set."""
    keep = np.ones_like(negative, bool) if keep is None else keep
    z = math.exp(log_scale) * size
    count = keep.sum(axis=1)

    def h(similarity, of):
        e = np.exp(similarity.astype(float) / temperature) / z
        return e / (e + of / size)

    own = -np.log(h(positive, count))
    others = -np.log(1 - h(negative, count[:, None]))
    return own + np.where(keep, others, 0).sum(axis=1)


@pytest.mark.parametrize(("count", "expected"), [(1, 2 * math.log(2)), (7, 3.0142), (4096, 9.3179)])
@pytest.mark.parametrize("similarity", [-1.0, 0.0, 1.0])
def test_equal_similarities_have_a_known_loss(count, expected, similarity):
    exact = math.log(1 + count) + count * math.log(1 + 1 / count)
    assert exact == pytest.approx(expected, abs=1e-4)
    loss = nce_per_anchor([similarity], tf.fill([1, count], similarity), temperature=TAU)
    assert float(loss[0]) == pytest.approx(exact, rel=1e-5)
    view = np.float32([[similarity, math.sqrt(1 - similarity**2)]])
    others = np.repeat(np.float32([[1.0, 0.0]]), count, axis=0)
    both = kbnn.losses.nce_loss(np.float32([[1.0, 0.0]]), view, others, np.repeat(view, count, 0))
    if similarity == 1.0:
        assert float(both[0]) == pytest.approx(2 * exact, rel=1e-5)


@pytest.mark.parametrize("size", [64, 60_000])
def test_the_stable_form_is_the_ratio_form_for_every_size_of_the_data(rng, size):
    positive, negative = rng.uniform(-1, 1, 8), rng.uniform(-1, 1, (8, 63))
    keep = rng.random((8, 63)) < 0.6
    for mask in (None, keep):
        found = nce_per_anchor(positive, negative, keep=mask, temperature=TAU, log_scale=2.5)
        expected = ratio_form(positive, negative, log_scale=2.5, size=size, keep=mask)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_both_anchors_are_scored_against_the_other_views_memory(rng):
    b, r, mb, mr = (unit(rng, *shape) for shape in ((5, 8), (5, 8), (9, 8), (9, 8)))
    keep = rng.random((5, 9)) < 0.7
    found = kbnn.losses.nce_loss(b, r, mb, mr, keep=keep, log_scale=[0.5, -0.5])
    positive = (b * r).sum(1)
    expected = ratio_form(positive, b @ mr.T, log_scale=0.5, size=100, keep=keep)
    expected += ratio_form(positive, r @ mb.T, log_scale=-0.5, size=100, keep=keep)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    found = kbnn.losses.info_nce_loss(b, r, binary_negatives=mb, real_negatives=mr, keep=keep)
    e = lambda s: np.exp(s / TAU)  # noqa: E731
    own = e(positive)
    expected = sum(
        -np.log(own / (own + np.where(keep, e(s), 0).sum(1))) for s in (b @ mr.T, r @ mb.T)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_positives_of_a_memory_replace_those_of_the_batch(rng):
    b, r, pb, pr = (unit(rng, 5, 8) for _ in range(4))
    mb, mr = unit(rng, 9, 8), unit(rng, 9, 8)
    memory = {"binary_positives": pb, "real_positives": pr}
    found = kbnn.losses.nce_loss(b, r, mb, mr, log_scale=[0.5, -0.5], **memory)
    expected = ratio_form((b * pr).sum(1), b @ mr.T, log_scale=0.5, size=100)
    expected += ratio_form((r * pb).sum(1), r @ mb.T, log_scale=-0.5, size=100)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    found = kbnn.losses.info_nce_loss(b, r, binary_negatives=mb, real_negatives=mr, **memory)
    expected = 0
    for positive, negative in (((b * pr).sum(1), b @ mr.T), ((r * pb).sum(1), r @ mb.T)):
        own = np.exp(positive / TAU)
        expected -= np.log(own / (own + np.exp(negative / TAU).sum(1)))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_without_a_scale_that_of_the_similarities_is_taken_as_a_constant(rng):
    positive, negative = rng.uniform(-1, 1, 6), rng.uniform(-1, 1, (6, 9))
    keep = rng.random((6, 9)) < 0.5
    mean = np.mean(np.exp(np.concatenate([positive, negative[keep]]) / TAU))
    x = tf.Variable(positive, dtype="float32")
    with tf.GradientTape(persistent=True) as tape:
        own = nce_per_anchor(x, negative, keep=keep, temperature=TAU)
        given = nce_per_anchor(x, negative, keep=keep, temperature=TAU, log_scale=math.log(mean))
    np.testing.assert_allclose(own, given, rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(own, x), tape.gradient(given, x), rtol=1e-4)


def test_a_random_start_has_the_expected_loss():
    rng = np.random.default_rng(0)
    count, size = 4096, 128
    limit = math.sqrt(3 / size)
    anchors = [unit(rng, 4096, size) for _ in range(2)]
    memory = [rng.uniform(-limit, limit, (count, size)).astype("f") for _ in range(2)]
    losses = kbnn.losses.nce_loss(*anchors, *memory) / 2
    expected = math.log(count) + 1 / (2 * size * TAU**2) + 1
    assert expected == pytest.approx(9.71, abs=0.005)
    assert float(tf.reduce_mean(losses)) == pytest.approx(9.67, abs=0.06)


@pytest.mark.parametrize(
    ("count", "nce", "info_nce"), [(1, -0.435, 0.340), (15, 0.644, 0.754), (255, 0.810, 0.819)]
)
def test_the_bounds_of_correlated_gaussians(count, nce, info_nce):
    correlation, samples = 0.9, 4000
    information = -0.5 * math.log(1 - correlation**2)
    assert information == pytest.approx(0.830, abs=1e-3)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(samples, 1))
    noise = math.sqrt(1 - correlation**2)
    y = correlation * x + noise * rng.normal(size=(samples, 1))
    others = rng.normal(size=(samples, count))

    def log_ratio(x, y):
        given_x = ((y - correlation * x) / noise) ** 2
        return 0.5 * (y**2 - given_x) - math.log(noise)

    positive, negative = log_ratio(x, y)[:, 0], log_ratio(x, others)
    bound = float(mutual_information_bound(positive, count))
    losses = info_nce_per_anchor(positive, negative, temperature=1.0)
    other = float(info_nce_bound(losses, count))
    assert bound == pytest.approx(nce, abs=0.02)
    assert other == pytest.approx(info_nce, abs=0.03)
    assert max(bound, other) < information


def test_gradients_are_those_of_the_formula(rng):
    positive = tf.Variable(rng.uniform(-1, 1, 6).astype("f"))
    negative = tf.Variable(rng.uniform(-1, 1, (6, 20)).astype("f"))
    keep = rng.random((6, 20)) < 0.7
    with tf.GradientTape() as tape:
        loss = nce_per_anchor(positive, negative, keep=keep, temperature=TAU, log_scale=1.0)
    of_positive, of_negative = tape.gradient(loss, [positive, negative])
    scale = keep.sum(1) * math.e
    e = np.exp(positive.numpy() / TAU)
    np.testing.assert_allclose(of_positive, -(1 - e / (e + scale)) / TAU, rtol=1e-4)
    e = np.exp(negative.numpy() / TAU)
    expected = np.where(keep, e / (e + scale[:, None]) / TAU, 0)
    np.testing.assert_allclose(of_negative, expected, rtol=1e-4)


def test_in_a_batch_samples_of_one_class_are_no_negatives_and_the_own_pair_always_counts(rng):
    b, r = unit(rng, 6, 4), unit(rng, 6, 4)
    labels = np.array([0, 1, 0, 2, 1, 0])
    found = kbnn.losses.info_nce_loss(b, r, labels, temperature=0.5)
    expected = np.zeros(6)
    for one, other in ((b, r), (r, b)):
        for i in range(6):
            against = [i, *(j for j in range(6) if labels[j] != labels[i])]
            e = np.exp(one[i] @ other[against].T / 0.5)
            expected[i] -= np.log(e[0] / e.sum())
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    free = kbnn.losses.info_nce_loss(b, r, temperature=0.5)
    np.testing.assert_allclose(
        free, kbnn.losses.info_nce_loss(b, r, np.arange(6), temperature=0.5), rtol=1e-6
    )
    assert (free.numpy() > found.numpy()).any()


def test_an_anchor_without_negatives_has_no_loss_and_no_gradient(rng):
    b, r = unit(rng, 3, 4), unit(rng, 3, 4)
    memory = unit(rng, 5, 4)
    keep = np.array([[True] * 5, [False] * 5, [True] * 5])
    for loss in (
        lambda x: kbnn.losses.nce_loss(x, r, memory, memory, keep=keep),
        lambda x: kbnn.losses.info_nce_loss(
            x, r, binary_negatives=memory, real_negatives=memory, keep=keep
        ),
    ):
        x = tf.Variable(b)
        with tf.GradientTape() as tape:
            losses = loss(x)
        gradient = tape.gradient(losses, x).numpy()
        assert losses[1] == 0
        assert (losses.numpy()[[0, 2]] > 0).all()
        assert np.isfinite(gradient).all()
        np.testing.assert_allclose(gradient[1], 0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("temperature", [0.001, 0.07])
def test_losses_are_finite_in_float32_at_the_lowest_temperature(rng, dtype, temperature):
    b, r, memory = (tf.cast(unit(rng, 4, 8), dtype) for _ in range(3))
    b = tf.Variable(b)
    with tf.GradientTape(persistent=True) as tape:
        losses = [
            kbnn.losses.nce_loss(b, r, memory, memory, temperature=temperature),
            kbnn.losses.nce_loss(b, r, memory, memory, temperature=temperature, log_scale=0.0),
            kbnn.losses.info_nce_loss(b, r, temperature=temperature),
        ]
    for loss in losses:
        assert loss.dtype == "float32"
        assert np.isfinite(loss).all()
        assert np.isfinite(tf.cast(tape.gradient(loss, b), "float32")).all()


@pytest.mark.parametrize("temperature", [0.0, -1.0, 0.0005, math.nan, math.inf, True, "0.1"])
def test_temperatures_that_are_none_are_refused(temperature):
    view = np.eye(2, dtype="f")
    for call in (
        lambda: kbnn.losses.nce_loss(view, view, view, view, temperature=temperature),
        lambda: kbnn.losses.info_nce_loss(view, view, temperature=temperature),
    ):
        with pytest.raises(ValueError, match=r"Expected `temperature`.*Received"):
            call()


def test_no_negatives_are_refused():
    view, none = np.eye(2, dtype="f"), np.zeros((0, 2), "f")
    with pytest.raises(ValueError, match="one or more negatives"):
        kbnn.losses.nce_loss(view, view, none, none)
    with pytest.raises(ValueError, match="one or more negatives"):
        kbnn.losses.info_nce_loss(view, view, binary_negatives=none, real_negatives=none)
    for bound in (mutual_information_bound, info_nce_bound):
        with pytest.raises(
            ValueError, match=r"Expected `negatives` to be a number above 0\. Received: negatives=0"
        ):
            bound([0.0], 0)
        for count in ("a", None, math.inf, True, [4]):
            with pytest.raises(ValueError, match=r"Expected `negatives` to be a number"):
                bound([0.0], count)


def test_arrays_of_another_shape_are_refused():
    """Broadcast, they would give a loss that means nothing."""
    view, one = np.eye(4, dtype="f"), np.eye(1, 4, dtype="f")
    nce, info_nce = kbnn.losses.nce_loss, kbnn.losses.info_nce_loss
    for call in (lambda: info_nce(view, one), lambda: nce(view, one, view, view)):
        with pytest.raises(ValueError, match="Expected embeddings of two views"):
            call()
    with pytest.raises(ValueError, match="Expected embeddings of two views"):
        nce(view, view, view, view, binary_positives=one, real_positives=one)
    for labels in ([3], [[0], [1], [2], [3]], view):
        with pytest.raises(ValueError, match=r"Expected `labels` to be `\(4,\)`"):
            info_nce(view, view, labels)
    for keep in (np.ones((4, 1), bool), np.ones((4, 4))):
        with pytest.raises(ValueError, match="Expected `keep` to be booleans"):
            nce(view, view, view, view, keep=keep)


def test_arguments_that_contradict_each_other_are_refused():
    view = np.eye(2, dtype="f")
    memory = {"binary_negatives": view, "real_negatives": view}
    with pytest.raises(ValueError, match="`binary_negatives` and `real_negatives`"):
        kbnn.losses.info_nce_loss(view, view, binary_negatives=view)
    with pytest.raises(ValueError, match="`binary_positives` and `real_positives`"):
        kbnn.losses.nce_loss(view, view, view, view, real_positives=view)
    with pytest.raises(ValueError, match=r"`keep` only with negatives. Received: `keep` without"):
        kbnn.losses.info_nce_loss(view, view, keep=np.ones((2, 2), bool))
    with pytest.raises(ValueError, match="Received: `labels`"):
        kbnn.losses.info_nce_loss(view, view, labels=[0, 1], **memory)
