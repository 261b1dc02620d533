"""Exported steps do the same as Keras."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from research import exported_step
from research.exported_step import Normalization


class SoftInTraining(lq.quantizers.Quantizer):
    """Tanh in training, sign otherwise."""

    precision = 1

    def call(self, inputs, training=None):
        return tf.tanh(inputs) if training else lq.math.sign(inputs)


@pytest.fixture
def batches(rng):
    images = rng.integers(0, 256, (3, 16, 12, 12, 1), np.uint8)
    return images, rng.integers(0, 3, (3, 16))


def compile_chain(learning_rate=0.005, **options):
    """Return a compiled chain with a loss that a layer adds."""
    keras.utils.set_random_seed(0)
    model = kbnn.models.vgg_tiny(
        *((12, 12, 1), 3, 8),
        preprocessing=kbnn.data.normalization_layer(),
        classifier_activation=None,
        **options,
    )
    layer = model.get_layer("conv_2")
    layer.add_loss(lambda: 0.01 * tf.reduce_sum(tf.square(layer.kernel)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(learning_rate), loss, metrics=["accuracy"])
    return model


def normalize(images, normalization):
    return ((images / np.float32(255) - normalization.mean) / normalization.std).astype(np.float32)


def test_every_byte_comes_back():
    images = np.arange(256 * 3).reshape(1, 16, 16, 3).astype(np.uint8)
    normalization = Normalization.from_images(images)
    found = normalization.undo(tf.constant(normalize(images, normalization)))
    np.testing.assert_array_equal(found, images)


@pytest.mark.slow
def test_a_train_step_is_that_of_fit(batches):
    ours, theirs = compile_chain(), compile_chain()
    normalization = Normalization.from_images(batches[0][0])
    step = exported_step.train_step(ours, normalization)
    for images, labels in zip(*batches, strict=True):
        loss = step(tf.constant(normalize(images, normalization)), tf.constant(labels))
        expected = theirs.train_on_batch(images, labels, reset_metrics=True, return_dict=True)
        assert float(loss) == pytest.approx(expected["loss"], rel=1e-5)
    assert float(loss) > float(sum(ours.losses)) > 0
    for own, other in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(own, other, atol=1e-4, err_msg=own.name)


def test_constraints_hold_the_kernels(batches):
    model = compile_chain(learning_rate=10.0)
    normalization = Normalization.from_images(batches[0][0])
    step = exported_step.train_step(model, normalization)
    step(tf.constant(normalize(batches[0][0], normalization)), tf.constant(batches[1][0]))
    assert np.abs(model.get_layer("conv_1").kernel).max() == 1.0


def test_the_eval_step_measures_the_network_that_ships(batches):
    model = compile_chain(input_quantizer=SoftInTraining())
    images, labels = batches[0][0], batches[1][0]
    normalization = Normalization.from_images(images)
    before = model.get_weights()
    _, correct = exported_step.eval_step(model, normalization)(
        tf.constant(normalize(images, normalization)), tf.constant(labels)
    )
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    logits = {training: model(images, training=training).numpy() for training in (False, True)}
    assert not np.allclose(logits[False], logits[True])
    assert correct == (logits[False].argmax(-1) == labels).sum()


def test_variables_have_names_of_their_own():
    model = compile_chain()
    exported_step.train_step(model, Normalization(np.float32([0.5]), np.float32([0.5])))
    names = exported_step.variables(model)
    assert names["learning_rate"] is model.optimizer._learning_rate
    assert len(names) == 1 + len(model.weights) + len(model.optimizer.variables)
    assert list(exported_step.model_variables(compile_chain())) == list(
        exported_step.model_variables(model)
    )
