"""The contrastive term: what it adds and when, the order of scoring and writing, its metrics."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from kbnn.layers import ContrastiveTerm
from kbnn.techniques import EmbeddingQueue, MemoryBank, SameBatch
from kbnn.training import batch_context

NEGATIVES = {
    "batch": SameBatch(),
    "queue": EmbeddingQueue(12),
    "bank": MemoryBank(rows=40, count=20),
}
SOURCES = list(NEGATIVES)


def contrast(negatives, **options):
    return ContrastiveTerm(NEGATIVES.get(negatives, negatives), **{"embedding": 6, **options})


def views(count=8, seed=0):
    real = np.random.default_rng(seed).normal(size=(count, 3, 3, 5)).astype("f")
    return tf.constant(np.where(real >= 0, 1, -1).astype("f")), tf.constant(real)


def indices(count=8, first=0):
    return tf.range(first, first + count, dtype=tf.int64)


def given(made, binary, real, labels=None, index=None):
    """The term as in a train step."""
    if made.negatives.source == "bank" and index is None:
        index = indices(len(binary))
    with batch_context.batch_scope(labels, index):
        return made([binary, real], training=True)


@pytest.mark.parametrize("negatives", SOURCES)
def test_outside_of_training_there_is_a_loss_of_zero_and_nothing_moves(negatives):
    made = contrast(negatives)
    for training in (None, False, 0, tf.constant(False)):
        assert float(made(views(), training=training)) == 0
        assert [float(loss) for loss in made.losses] == [0]
        before = made.get_weights()
        made(views(), training=training)
        for old, new in zip(before, made.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("negatives", ["batch", "queue"])
def test_a_tensor_says_whether_it_is_training(negatives):
    made = contrast(negatives)
    loss = tf.function(lambda training: made(views(), training=training))
    assert float(loss(tf.constant(False))) == 0
    values = [float(loss(tf.constant(True))) for _ in range(2)]
    assert values[-1] > 0


@pytest.mark.parametrize("negatives", SOURCES)
def test_what_is_added_is_the_weight_times_the_term(negatives):
    one, two = contrast(negatives, weight=2.0), contrast(negatives, weight=0.5)
    for made in (one, two):
        made(views())
    two.set_weights(one.get_weights())
    for seed in range(3):  # a queue is empty at first
        loss, other = (float(given(made, *views(seed=seed))) for made in (one, two))
        assert loss == pytest.approx(4 * other, rel=1e-5)
        assert [float(added) for added in one.losses] == [loss]
    assert loss > 0


def test_the_batch_is_scored_by_info_nce_with_the_classes_masked():
    made = contrast("batch", weight=1.0, temperature=0.3)
    b, r = views()
    made([b, r])
    e = [made.binary_head(b), made.real_head(r)]
    labels = np.array([0, 1, 0, 1, 2, 2, 3, 4])
    expected = kbnn.losses.info_nce_loss(*e, labels, temperature=0.3)
    free = kbnn.losses.info_nce_loss(*e, temperature=0.3)
    for form in (labels, labels[:, None], np.eye(5)[labels], labels.astype("f")):
        assert float(given(made, b, r, form)) == pytest.approx(np.mean(expected), rel=1e-5)
    for form in (None, {"a": labels}, np.zeros((8, 3, 3))):
        assert float(given(made, b, r, form)) == pytest.approx(np.mean(free), rel=1e-5)
    assert np.mean(free) > np.mean(expected)


def test_real_targets_that_differ_are_of_different_classes():
    made = contrast("batch", weight=1.0)
    values = np.linspace(0, 0.9, 8, dtype="f")
    assert float(given(made, *views(), values)) == float(given(made, *views()))


def test_a_queue_is_scored_before_it_takes_the_batch():
    made = contrast("queue", weight=1.0, temperature=0.1)
    first, second = views(seed=1), views(seed=2)
    assert float(given(made, *first, np.arange(8))) == 0
    # The heads do not change here, so the momentum heads embed as they do.
    e = [made.binary_head(first[0]), made.real_head(first[1])]
    labels = np.arange(8) % 4
    found = float(given(made, *second, labels))
    anchors = [made.binary_head(second[0]), made.real_head(second[1])]
    expected = kbnn.losses.info_nce_loss(
        *anchors,
        binary_negatives=e[0],
        real_negatives=e[1],
        keep=labels[:, None] != np.arange(8)[None],
    )
    assert found == pytest.approx(float(np.mean(expected)), rel=1e-5)
    # The 4 oldest of 16 have gone.
    np.testing.assert_allclose(made.memory.binary_rows[4:8], e[0][4:], rtol=1e-5)
    np.testing.assert_allclose(made.memory.binary_rows[:4], anchors[0][4:], rtol=1e-5)


def test_a_bank_is_scored_before_it_takes_the_batch_with_the_first_batchs_scale():
    made = contrast(MemoryBank(rows=40, count=40), weight=1.0, temperature=0.1)
    scale = None
    for seed in (1, 2, 3):
        b, r = views(seed=seed)
        made([b, r])
        rows = [made.memory.binary_rows.numpy(), made.memory.real_rows.numpy()]
        row_labels = made.memory.row_labels.numpy()
        labels, index = np.arange(8) % 3, indices(first=4 * seed)
        keep = index.numpy()[:, None] != np.arange(40)[None]
        keep &= labels[:, None] != row_labels[None]
        e = [made.binary_head(b).numpy(), made.real_head(r).numpy()]
        positives = [memory[index.numpy()] for memory in rows]
        if scale is None:
            scale = []
            for anchor, memory, own in zip(e, rows[::-1], positives[::-1], strict=True):
                positive = (anchor * own).sum(1)
                exponentials = np.exp(np.concatenate([positive, (anchor @ memory.T)[keep]]) / 0.1)
                scale.append(np.log(exponentials.mean()))
        expected = kbnn.losses.nce_loss(
            *(*e, *rows),
            binary_positives=positives[0],
            real_positives=positives[1],
            keep=keep,
            log_scale=scale,
        )
        found = float(given(made, b, r, labels, index))
        assert found == pytest.approx(float(np.mean(expected)), rel=1e-4)
        np.testing.assert_allclose(made.log_scale, scale, rtol=1e-5)
        new = 0.5 * rows[0][index.numpy()] + 0.5 * e[0]
        new /= np.linalg.norm(new, axis=1, keepdims=True)
        np.testing.assert_allclose(made.memory.binary_rows.numpy()[index.numpy()], new, rtol=1e-4)
        assert made.memory.row_labels.numpy()[index.numpy()].tolist() == labels.tolist()


@pytest.mark.parametrize("negatives", SOURCES)
def test_the_heads_and_both_views_get_gradients_and_the_memory_none(negatives):
    made = contrast(negatives)
    b, r = views()
    given(made, b, r)
    with tf.GradientTape() as tape:
        tape.watch([b, r])
        loss = given(made, b, r)
    heads = made.trainable_weights
    assert [w.name.split("/")[-2] for w in heads] == ["binary_head"] * 2 + ["real_head"] * 2
    for gradient in tape.gradient(loss, [b, r, *heads]):
        assert float(tf.reduce_max(tf.abs(gradient))) > 0
    assert {id(w) for w in made.non_trainable_weights}.isdisjoint(map(id, heads))


@pytest.mark.parametrize("negatives", SOURCES)
def test_without_weight_the_views_get_no_gradient_and_measures_are_taken(negatives):
    made = contrast(negatives, weight=0.0)
    b, r = views()
    with tf.GradientTape() as tape:
        tape.watch([b, r])
        loss = given(made, b, r)
    assert float(loss) == 0
    assert tape.gradient(loss, [b, r]) == [None, None]
    assert made.metric_results().distinct_codes == 1


@pytest.mark.parametrize("negatives", SOURCES)
def test_the_bound_is_that_of_the_batch_with_no_class_left_out(negatives):
    made = contrast(negatives, temperature=0.2)
    labels = np.zeros(8, int)
    expected = []
    for seed in range(3):
        b, r = views(seed=seed)
        given(made, b, r, labels)
        losses = kbnn.losses.info_nce_loss(made.binary_head(b), made.real_head(r), temperature=0.2)
        expected.append(np.log(8) - np.mean(losses) / 2)
    assert made.metric_results().bound == pytest.approx(np.mean(expected), rel=1e-4)
    made.reset_metrics()
    assert made.metric_results() == (0, 0, 0)


def test_distinct_codes_are_counted_by_their_signs():
    made = contrast("batch")
    b, r = (view.numpy() for view in views())
    b[3], b[6], b[7] = b[0], b[0] * 0.5, b[1]
    b[5], b[5, 0, 0, 0] = b[4], -b[4, 0, 0, 0]
    given(made, b, r)
    assert made.metric_results().distinct_codes == pytest.approx(5 / 8)
    given(made, np.ones_like(b), r)
    assert made.metric_results().distinct_codes == pytest.approx((5 / 8 + 1 / 8) / 2)


def test_the_mean_loss_of_a_queue_leaves_out_the_batch_that_found_it_empty():
    made = contrast("queue", weight=0.5)
    losses = [float(given(made, *views(seed=seed))) / 0.5 for seed in range(3)]
    assert losses[0] == 0
    assert made.metric_results().loss == pytest.approx(np.mean(losses[1:]), rel=1e-5)


def test_a_bank_without_indices_says_where_they_come_from():
    made = contrast("bank")
    with pytest.raises(ValueError, match=r"indices.*Trainer\(model, with_index=True\)"):
        made(views(), training=True)
    with pytest.raises(ValueError, match=r"to be integers `\(8,\)`. Received: float32"):
        given(made, *views(), index=tf.zeros([8]))


@pytest.mark.parametrize("negatives", SOURCES)
def test_it_computes_in_float32_under_mixed_precision(negatives):
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        made = contrast(negatives)
        half = [tf.cast(view, tf.float16) for view in views()]
        loss = given(made, *half)
        given(made, *half)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert loss.dtype == "float32"
    floats = [weight for weight in made.weights if weight.dtype.is_floating]
    assert {weight.dtype for weight in floats} == {tf.float32}
    assert all(np.isfinite(weight).all() for weight in made.get_weights())


@pytest.mark.parametrize("negatives", SOURCES)
def test_xla_computes_the_same(negatives):
    one, two = contrast(negatives), contrast(negatives)
    for made in (one, two):
        made(views())
    two.set_weights(one.get_weights())
    compiled = tf.function(lambda b, r: given(two, b, r, tf.range(8) % 3), jit_compile=True)
    for seed in range(3):
        b, r = views(seed=seed)
        expected = float(given(one, b, r, tf.range(8) % 3))
        assert float(compiled(b, r)) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    for weight, other in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("negatives", SOURCES)
def test_a_copy_of_its_state_goes_on_alike(negatives):
    one = contrast(negatives)
    given(one, *views(seed=1))
    two = ContrastiveTerm.from_config(one.get_config())
    two(views())
    two.set_weights(one.get_weights())
    losses = [float(given(made, *views(seed=2))) for made in (one, two)]
    assert losses[0] == losses[1] > 0


def test_the_config_tells_all():
    bank = MemoryBank(rows=11, count=5, momentum=0.25, per_anchor=True, seed=4)
    made = ContrastiveTerm(bank, 0.7, 0.2, 9, "flatten", False, True)
    config = json.loads(json.dumps(made.get_config()))
    copy = ContrastiveTerm.from_config(config)
    assert copy.get_config() == made.get_config()
    assert (copy.negatives, copy.weight, copy.temperature) == (bank, 0.7, 0.2)
    assert (copy.embedding, copy.pooling, copy.train_heads) == (9, "flatten", False)
    assert copy.normalize
    for head in (copy.binary_head, copy.real_head):
        assert (head.units, head.pooling, head.is_trained) == (9, "flatten", False)
        assert head.normalize
    assert (copy.memory.settings, copy.memory.units) == (bank, 9)


@pytest.mark.parametrize(
    "options",
    [
        {"negatives": "sideways"},
        {"weight": -1.0},
        {"weight": float("nan")},
        {"weight": True},
        {"temperature": 0.0},
        {"embedding": 0},
        {"pooling": "max"},
        {"train_heads": 1},
        {"normalize": "yes"},
        {"negatives": "bank"},
        {"negatives": MemoryBank()},
        {"negatives": MemoryBank},
        {"negatives": {"source": "queue"}},
    ],
)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=r"Expected `\w+`.*Received"):
        ContrastiveTerm(**options)


@pytest.mark.parametrize("index", [[1], [[1]] * 8, [1.0] * 8])
def test_indices_of_another_form_are_refused(index):
    with pytest.raises(ValueError, match=r"Expected sample indices to be integers `\(8,\)`"):
        contrast("bank").batch_loss(*views(), indices=index)


@pytest.mark.slow
def test_the_loss_of_two_replicas_is_that_of_their_joint_batch():
    script = pathlib.Path(__file__).with_name("mirrored_contrast.py")
    result = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
