"""The queue: what it holds after which batches, and which rows are negatives."""

import numpy as np
import pytest
import tensorflow as tf

from kbnn.techniques import EmbeddingQueue
from kbnn.techniques.contrastive.embedding_queue import EmbeddingQueueLayer


def queue(rows=4, units=2):
    made = EmbeddingQueueLayer(EmbeddingQueue(rows), units)
    made.build(None)
    return made


def write(made, values, labels=None):
    values = np.float32(values)[:, None] * np.ones((1, 2), "f")
    labels = None if labels is None else tf.constant(labels, tf.int64)
    made.write(tf.constant(values), tf.constant(-values), labels)


def held(made):
    return made.binary_rows.numpy()[:, 0].tolist()


def test_the_oldest_go_first():
    made = queue()
    assert not made.negatives(3).keep.numpy().any()
    write(made, [1, 2, 3])
    assert held(made) == [1, 2, 3, 0]
    assert made.negatives(2).keep.numpy().tolist() == [[True, True, True, False]] * 2
    write(made, [4, 5])
    assert held(made) == [5, 2, 3, 4]
    assert made.negatives(1).keep.numpy().all()
    np.testing.assert_array_equal(made.real_rows, -made.binary_rows.numpy())


def test_of_a_batch_larger_than_the_queue_the_last_stay():
    made = queue()
    write(made, [1])
    write(made, [2, 3, 4, 5, 6, 7])
    assert sorted(held(made)) == [4, 5, 6, 7]
    # As if they had come one by one: the next goes where the oldest is.
    write(made, [8])
    assert sorted(held(made)) == [5, 6, 7, 8]


def test_rows_of_the_samples_class_are_no_negatives_and_rows_without_a_class_are():
    made = queue()
    write(made, [1, 2], labels=[7, 8])
    write(made, [3])
    keep = made.negatives(3, tf.constant([7, 8, 9], tf.int64)).keep.numpy()
    assert keep.tolist() == [
        [False, True, True, False],
        [True, False, True, False],
        [True, True, True, False],
    ]
    assert made.negatives(1).keep.numpy().tolist() == [[True, True, True, False]]


def test_no_gradient_reaches_it():
    made = queue()
    x = tf.Variable(np.ones((2, 2), "f"))
    with tf.GradientTape() as tape:
        made.write(2 * x, x)
        y = tf.reduce_sum(made.negatives(1).binary)
    assert tape.gradient(y, x) is None
    assert made.trainable_weights == []


def test_its_state_is_saved():
    made = queue()
    write(made, [1, 2, 3, 4, 5], labels=[0, 1, 2, 3, 4])
    copy = queue()
    copy.set_weights(made.get_weights())
    for one in (made, copy):
        write(one, [6])
    for weight, other in zip(made.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)
    settings = EmbeddingQueue(5, head_momentum=0.5)
    copy = EmbeddingQueueLayer.from_config(EmbeddingQueueLayer(settings, 3).get_config())
    assert (copy.settings, copy.units) == (settings, 3)


def test_a_size_out_of_range_is_refused():
    with pytest.raises(ValueError, match="Expected `units` to be a positive integer"):
        EmbeddingQueueLayer(EmbeddingQueue(), -1)
