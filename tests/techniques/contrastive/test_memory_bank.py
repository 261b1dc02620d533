"""The memory bank: which rows change and how, which are drawn, and what odd indices do."""

import time

import numpy as np
import pytest
import tensorflow as tf

import kbnn  # noqa: F401  (before TensorFlow)
from kbnn.techniques import MemoryBank
from kbnn.techniques.contrastive.memory_bank import MemoryBankLayer


def bank(rows=20, units=4, **options):
    made = MemoryBankLayer(MemoryBank(rows, **options), units)
    made.build(None)
    return made


def unit(values):
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def int64(*values):
    return tf.constant(values, tf.int64)


def embeddings(count, units=4, seed=0):
    return unit(np.random.default_rng(seed).normal(size=(count, units)).astype("f"))


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_only_the_rows_of_the_batch_change_to_the_mean_of_length_one(momentum):
    made = bank(momentum=momentum)
    before = [made.binary_rows.numpy(), made.real_rows.numpy()]
    new = [embeddings(3, seed=seed) for seed in (1, 2)]
    made.write(int64(4, 0, 19), *map(tf.constant, new))
    others = np.setdiff1d(np.arange(20), [4, 0, 19])
    for rows, old, e in zip((made.binary_rows, made.real_rows), before, new, strict=True):
        found = rows.numpy()
        np.testing.assert_array_equal(found[others], old[others])
        expected = unit(momentum * old[[4, 0, 19]] + (1 - momentum) * e)
        np.testing.assert_allclose(found[[4, 0, 19]], expected, rtol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(found[[4, 0, 19]], axis=1), 1, rtol=1e-5)


def test_momentum_1_freezes():
    made = bank(momentum=1.0)
    before = made.get_weights()
    made.write(int64(1, 2), *[tf.constant(embeddings(2))] * 2, int64(5, 6))
    for rows in (0, 1):
        np.testing.assert_array_equal(made.get_weights()[rows], before[rows])
    assert made.row_labels.numpy()[[1, 2]].tolist() == [5, 6]


def test_rows_begin_uniform_and_about_of_length_one():
    rows = bank(rows=2000, units=128).binary_rows.numpy()
    limit = np.sqrt(3 / 128)
    assert limit * 0.999 < np.abs(rows).max() <= limit
    assert np.linalg.norm(rows, axis=1).mean() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_of_a_repeated_index_the_first_embedding_is_written(jit_compile):
    made = bank(momentum=0.5)
    before = made.binary_rows.numpy()
    e = embeddings(4)

    @tf.function(jit_compile=jit_compile)
    def write():
        made.write(int64(7, 3, 7, 7), tf.constant(e), tf.constant(e), int64(1, 2, 3, 4))

    write()
    np.testing.assert_allclose(
        made.binary_rows.numpy()[[7, 3]], unit(before[[7, 3]] + e[:2]), rtol=1e-5
    )
    assert made.row_labels.numpy()[[7, 3]].tolist() == [1, 2]


@pytest.mark.parametrize("index", [-1, 20])
def test_an_index_that_is_no_row_is_an_error(index):
    made = bank()
    e = tf.constant(embeddings(2))
    with pytest.raises(tf.errors.InvalidArgumentError, match="indices from 0 to 19"):
        made.write(int64(3, index), e, e)
    with pytest.raises(tf.errors.InvalidArgumentError, match="indices from 0 to 19"):
        tf.function(made.write)(int64(3, index), e, e)


@pytest.mark.parametrize("index", [-1, 20, 10**12])
def test_under_xla_such_a_sample_is_not_written(index):
    made = bank()
    e = tf.constant(embeddings(2))
    before = [weight.copy() for weight in made.get_weights()]
    write = tf.function(made.write, jit_compile=True)
    write(int64(index, 3), e, e, int64(1, 2))
    others = np.setdiff1d(np.arange(20), [3])
    for old, new in zip(before[:2], made.get_weights()[:2], strict=True):
        np.testing.assert_array_equal(old[others], new[others])
        np.testing.assert_allclose(new[3], unit(old[3] + e.numpy()[1]), rtol=1e-5)
    assert made.row_labels.numpy()[3] == 2
    before = made.get_weights()
    write(int64(index, index), e, e, int64(1, 2))
    for old, new in zip(before, made.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("per_anchor", [False, True])
def test_positives_are_the_samples_rows(per_anchor):
    made = bank(per_anchor=per_anchor)
    binary, real = made.positives(int64(7, 0, 7))
    np.testing.assert_array_equal(binary, made.binary_rows.numpy()[[7, 0, 7]])
    np.testing.assert_array_equal(real, made.real_rows.numpy()[[7, 0, 7]])
    with pytest.raises(tf.errors.InvalidArgumentError, match="indices from 0 to 19"):
        made.positives(int64(3, 20))
    for index in (-1, 20, 10**12):

        @tf.function(jit_compile=True)
        def compiled(index):
            return made.positives(index), made.negatives(index).keep

        (binary, real), keep = compiled(int64(index, 3))
        np.testing.assert_array_equal(binary[1], made.binary_rows[3])
        assert np.isfinite(binary).all()
        assert np.isfinite(real).all()
        # A sample that is no row has nothing to compare with, and so no loss.
        assert not keep.numpy()[0].any()
        assert keep.numpy()[1].any()


def drawn(made, indices, labels=None, negatives=None):
    """Return the rows that are negatives of each sample."""
    found = (negatives or made.negatives)(indices, labels)
    rows = made.binary_rows.numpy()
    numbers = [np.flatnonzero((rows == row).all(axis=1))[0] for row in found.binary.numpy()]
    return [sorted(np.array(numbers)[keep]) for keep in found.keep.numpy()]


@pytest.mark.parametrize("per_anchor", [False, True])
def test_negatives_are_different_rows_of_others_and_of_other_classes(per_anchor):
    made = bank(count=8, per_anchor=per_anchor)
    e = embeddings(10)
    labels = np.arange(10) % 3
    made.write(tf.range(10, dtype=tf.int64), tf.constant(e), tf.constant(e), int64(*labels))
    sizes = set()
    for _ in range(20):
        found = drawn(made, int64(1, 2, 15), int64(1, 2, 0))
        for own, label, rows in zip((1, 2, 15), (1, 2, 0), found, strict=True):
            assert own not in rows
            assert len(set(rows)) == len(rows) <= 8
            assert all(row >= 10 or labels[row] != label for row in rows)
            sizes.add(len(rows))
    assert sizes == {8} if per_anchor else len(sizes) > 1
    assert all(len(rows) >= 7 for rows in drawn(made, int64(1, 2)))


@pytest.mark.parametrize("per_anchor", [False, True])
def test_every_row_is_drawn_as_often(per_anchor):
    made = bank(rows=12, count=3, per_anchor=per_anchor)
    negatives = tf.function(made.negatives)
    counts = np.zeros(12)
    for _ in range(800):
        for row in drawn(made, int64(0), negatives=negatives)[0]:
            counts[row] += 1
    assert counts[0] == 0
    expected = 800 * 3 / 11 if per_anchor else 800 * 3 / 12
    # Five standard deviations.
    np.testing.assert_allclose(counts[1:], expected, atol=5 * np.sqrt(expected))


def test_a_bank_that_is_smaller_than_the_draw_is_taken_whole():
    assert drawn(bank(rows=5), int64(2)) == [[0, 1, 3, 4]]


def test_draws_are_a_function_of_the_seed_and_the_saved_counter():
    made, copy, other = bank(count=5), bank(count=5), bank(count=5, seed=1)
    first = [drawn(made, int64(0)) for _ in range(3)]
    assert first[0] != first[1]
    copy.set_weights(made.get_weights())
    other.set_weights(made.get_weights())
    fourth = drawn(made, int64(0))
    assert drawn(copy, int64(0)) == fourth
    assert drawn(other, int64(0)) != fourth


def test_no_gradient_reaches_it():
    made = bank()
    x = tf.Variable(embeddings(2))
    with tf.GradientTape() as tape:
        made.write(int64(1, 2), 2 * x, x)
        y = tf.reduce_sum(made.negatives(int64(1)).binary)
    assert tape.gradient(y, x) is None
    assert made.trainable_weights == []


@pytest.mark.slow
def test_a_batch_is_written_in_place():
    """Were the bank copied, the time would grow with its rows."""
    seconds = {}
    for rows in (2_000, 200_000):
        made = bank(rows=rows, units=128)
        e = tf.constant(embeddings(128, 128))
        write = tf.function(made.write)
        indices = tf.constant(np.random.default_rng(0).permutation(2_000)[:128], tf.int64)
        for _ in range(5):
            write(indices, e, e)
        times = []
        for _ in range(30):
            start = time.perf_counter()
            write(indices, e, e)
            times.append(time.perf_counter() - start)
        seconds[rows] = np.median(times)
    # A copy of twice 100 MB takes some 50 ms.
    assert seconds[200_000] < 5 * seconds[2_000] + 0.005, seconds


def test_the_config_tells_all():
    made = bank(momentum=0.25, count=7, per_anchor=True, seed=3)
    copy = MemoryBankLayer.from_config(made.get_config())
    assert copy.get_config() == made.get_config()
    assert (copy.settings, copy.units) == (MemoryBank(20, 7, 0.25, True, 3), 4)


def test_a_bank_without_rows_or_units_is_refused():
    with pytest.raises(ValueError, match=r"Expected `rows`.*MemoryBank\(rows=\.\.\.\)"):
        MemoryBankLayer(MemoryBank(), 4)
    with pytest.raises(ValueError, match="Expected `units` to be a positive integer"):
        MemoryBankLayer(MemoryBank(5), 0)
