"""The contrastive term with a memory against an independent NumPy implementation, in float64."""

import numpy as np
import pytest
import tensorflow as tf

from kbnn.layers import ContrastiveTerm
from kbnn.techniques import EmbeddingQueue, MemoryBank
from kbnn.training import batch_context

SAMPLES, CHANNELS, ROWS, TAU = 8, 5, 40, 0.2


def unit(values):
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def embed(features, kernel, bias, normalize=False):
    pooled = np.asarray(features, float).mean(axis=(1, 2))
    if normalize:
        pooled = (pooled - pooled.mean(0)) / np.sqrt(pooled.var(0) + 1e-5)
    return unit(pooled @ kernel + bias)


def views(seed):
    rng = np.random.default_rng(seed)
    real = rng.normal(size=(SAMPLES, 3, 3, CHANNELS))
    # Not signs, so that differences of the loss exist in all directions.
    return np.tanh(3 * real), real


def heads_of(made):
    """The kernels and biases of both heads."""
    return [
        tuple(np.asarray(weight, float) for weight in (head.kernel, head.bias))
        for head in (made.binary_head, made.real_head)
    ]


def set_biases(made, rng):
    """Biases start at 0, which would hide a mistake."""
    for head in (made.binary_head, made.real_head):
        head.bias.assign(rng.normal(size=head.bias.shape) * 0.1)


def slopes(loss, arrays, state, rng, step=1e-5):
    """A random direction of each array, and the derivative of a loss in it."""
    found = []
    for i, array in enumerate(arrays):
        direction = rng.normal(size=array.shape)
        moved = [
            [*arrays[:i], array + sign * step * direction, *arrays[i + 1 :]] for sign in (1, -1)
        ]
        values = [loss(each, *state) for each in moved]
        found.append((direction, (values[0] - values[1]) / (2 * step)))
    return found


def term_and_gradients(made, b, r, labels, index=None):
    """The term of a training step, and its gradients by the views and the heads."""
    b, r = (tf.constant(view, tf.float32) for view in (b, r))
    heads = [weight for head in (made.binary_head, made.real_head) for weight in head.weights]
    with tf.GradientTape() as tape, batch_context.batch_scope(labels, index):
        tape.watch([b, r])
        loss = made([b, r], training=True)
    return float(loss), [np.asarray(each) for each in tape.gradient(loss, [b, r, *heads])]


def check_gradients(expected, gradients):
    for (direction, slope), gradient in zip(expected, gradients, strict=True):
        assert np.sum(gradient * direction) == pytest.approx(slope, rel=2e-3, abs=2e-5)
    assert all(abs(slope) > 1e-4 for _, slope in expected[:2])


def bank_similarities(arrays, memory, index, normalize):
    """e^(s / tau) for the positive and the negatives of both anchors, and the anchors."""
    b, r, *heads = arrays
    anchors = embed(b, *heads[:2], normalize), embed(r, *heads[2:], normalize)
    return anchors, [
        (np.exp((anchor * rows[index]).sum(axis=1) / TAU), np.exp(anchor @ rows.T / TAU))
        for anchor, rows in zip(anchors, memory[::-1], strict=True)
    ]


def bank_loss(arrays, memory, index, keep, scale, normalize):
    """The ratio form of the released code."""
    total, count = 0, keep.sum(axis=1)[:, None]
    _, similarities = bank_similarities(arrays, memory, index, normalize)
    for (own, others), c in zip(similarities, scale, strict=True):
        total -= np.log(own / (own + count[:, 0] * c))
        h = others / (others + count * c)
        total -= np.where(keep, np.log(1 - h), 0).sum(axis=1)
    return total.mean()


@pytest.mark.parametrize("normalize", [False, True])
def test_a_bank_gives_positives_and_negatives_of_the_same_age(normalize, rng):
    bank = MemoryBank(rows=ROWS, count=ROWS, momentum=0.3)
    made = ContrastiveTerm(bank, 1.0, TAU, 6, normalize=normalize)
    made.build([(None, 3, 3, CHANNELS)] * 2)
    set_biases(made, rng)
    # From here on, only NumPy keeps the memory.
    memory = [np.asarray(rows, float) for rows in (made.memory.binary_rows, made.memory.real_rows)]
    known = np.full(ROWS, -1)
    scale = None
    for seed in (1, 2, 3):
        (b, r), labels = views(seed), np.arange(SAMPLES) % 3
        # The last batch is the first one's samples again, in another order.
        index = 2 * rng.permutation(SAMPLES) + (seed == 2)
        keep = (index[:, None] != np.arange(ROWS)) & (labels[:, None] != known)
        arrays = [b, r, *(weight for head in heads_of(made) for weight in head)]
        anchors, similarities = bank_similarities(arrays, memory, index, normalize)
        if scale is None:
            scale = [np.concatenate([own, other[keep]]).mean() for own, other in similarities]
        state = (memory, index, keep, scale, normalize)
        found, gradients = term_and_gradients(made, b, r, labels, index)
        assert found == pytest.approx(bank_loss(arrays, *state), rel=1e-4)
        check_gradients(slopes(bank_loss, arrays, state, rng), gradients)
        for rows, anchor in zip(memory, anchors, strict=True):
            rows[index] = unit(0.3 * rows[index] + 0.7 * anchor)
        known[index] = labels
        np.testing.assert_allclose(made.memory.binary_rows, memory[0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(made.memory.real_rows, memory[1], rtol=1e-4, atol=1e-6)


def test_the_first_visit_has_a_random_positive():
    """The term of an unseen sample does not depend on whether its two views are alike."""
    made = ContrastiveTerm(MemoryBank(rows=2000, count=500), 1.0, 0.1)
    kernel = np.random.default_rng(0).normal(size=(CHANNELS, 128))
    b, _ = views(1)
    made.build([(None, 3, 3, CHANNELS)] * 2)
    losses = []
    for other in (kernel, -kernel):
        made.binary_head.kernel.assign(kernel)
        made.real_head.kernel.assign(other)
        anchors = made.binary_head(b), made.real_head(b)
        np.testing.assert_allclose(np.abs((anchors[0] * anchors[1]).numpy().sum(1)), 1, rtol=1e-5)
        made.memory.draws.assign(0)
        first = int(len(losses) * SAMPLES)
        losses.append(term_and_gradients(made, b, b, None, np.arange(first, first + SAMPLES))[0])
    # 2 (log N + 1 / (2 d tau^2) + 1), the loss of a random start.
    expected = 2 * (np.log(500) + 1 / (2 * 128 * 0.1**2) + 1)
    assert losses == pytest.approx([expected] * 2, abs=1)


def queue_loss(arrays, keys, held, keep):
    """InfoNCE with constant keys."""
    b, r, *heads = arrays
    total = 0
    anchors = embed(b, *heads[:2]), embed(r, *heads[2:])
    for anchor, key, rows in zip(anchors, keys[::-1], held[::-1], strict=True):
        own = np.exp((anchor * key).sum(axis=1) / TAU)
        others = np.where(keep, np.exp(anchor @ rows.T / TAU), 0).sum(axis=1)
        total -= np.log(own / (own + others))
    return total.mean()


@pytest.mark.parametrize("head_momentum", [0.0, 0.9])
def test_momentum_heads_give_the_positives_and_the_negatives_of_a_queue(head_momentum, rng):
    made = ContrastiveTerm(EmbeddingQueue(20, head_momentum=head_momentum), 1.0, TAU, 6)
    made.build([(None, 3, 3, CHANNELS)] * 2)
    set_biases(made, rng)
    average = [[np.zeros_like(weight) for weight in head] for head in heads_of(made)]
    held, held_labels = [np.zeros((0, 6))] * 2, np.zeros(0, int)
    for seed in range(4):
        (b, r), labels = views(seed), rng.integers(0, 3, SAMPLES)
        for mine, theirs in zip(average, heads_of(made), strict=True):
            for i, weight in enumerate(theirs):
                mine[i] = head_momentum * mine[i] + (1 - head_momentum) * weight
        keys = [embed(view, *head) for view, head in zip((b, r), average, strict=True)]
        state = (keys, held, labels[:, None] != held_labels)
        arrays = [b, r, *(weight for head in heads_of(made) for weight in head)]
        found, gradients = term_and_gradients(made, b, r, labels)
        assert found == pytest.approx(queue_loss(arrays, *state), rel=1e-4, abs=1e-5)
        if seed:  # the first batch finds an empty queue
            assert found > 0.1
            check_gradients(slopes(queue_loss, arrays, state, rng), gradients)
        # Without momentum there is nothing to average.
        assert len(made.momentum_heads) == (2 if head_momentum else 0)
        for head, expected in zip(made.momentum_heads, average, strict=False):
            np.testing.assert_allclose(head.kernel, expected[0], rtol=1e-5, atol=1e-7)
            np.testing.assert_allclose(head.bias, expected[1], rtol=1e-5, atol=1e-7)
        held = [np.concatenate([old, new])[-20:] for old, new in zip(held, keys, strict=True)]
        held_labels = np.concatenate([held_labels, labels])[-20:]
        # As an optimizer does.
        for weight in made.trainable_weights:
            weight.assign_add(0.3 * rng.normal(size=weight.shape))
    names = [weight.name for weight in made.trainable_weights]
    assert len(names) == 4
    assert not any("momentum" in name for name in names)


@pytest.mark.parametrize("source", ["batch", "queue", "bank"])
def test_heads_that_are_not_trained_stay_and_the_network_learns(source, rng):
    negatives = {"bank": MemoryBank(rows=ROWS)}.get(source, source)
    made = ContrastiveTerm(negatives, 1.0, TAU, 6, train_heads=False)
    b, r = (tf.Variable(view, dtype=tf.float32) for view in views(1))
    made.build([b.shape, r.shape])
    assert made.trainable_weights == []
    # As fine-tuning does with a whole network.
    made.trainable = False
    made.trainable = True
    assert made.trainable_weights == []
    before = heads_of(made)
    for _ in range(3):
        with tf.GradientTape() as tape, batch_context.batch_scope(None, np.arange(SAMPLES)):
            loss = made([b, r], training=True)
        gradients = tape.gradient(loss, [b, r])
        for view, gradient in zip((b, r), gradients, strict=True):
            view.assign_sub(gradient)
    assert all(float(tf.reduce_max(tf.abs(gradient))) > 0 for gradient in gradients)
    for old, new in zip(before, heads_of(made), strict=True):
        np.testing.assert_array_equal(old[0], new[0])
        np.testing.assert_array_equal(old[1], new[1])
