"""Which data `verify` and `convert` take, and what they say of those that they do not."""

import dataclasses
import re

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from kbnn.converters import convert, verify
from kbnn.converters.samples import Samples
from kbnn.converters.writer import write
from tests.converters.networks import one_layer, randomised


@pytest.fixture(scope="module")
def model():
    return one_layer(keras.layers.Dense(3), shape=(4,))


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "model.tflite"
    convert(model, path)
    return path


def two_inputs():
    """A model that tells left from right: its inputs have one shape."""
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    difference = keras.layers.Subtract()([left, right])
    return randomised(keras.Model([left, right], keras.layers.Dense(3)(difference)))


def x(count=10, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 4)).astype("f")


def y(count=10):
    return np.arange(count) % 3


def with_value(array, position, value):
    array = array.astype(np.result_type(array, value))
    array[position] = value
    return array


class Batches(keras.utils.Sequence):
    """Three batches; its iterator never ends, as with Keras's own generators."""

    def __len__(self):
        return 3

    def __getitem__(self, i):
        return x()[4 * i : 4 * i + 4], y()[4 * i : 4 * i + 4]

    def __iter__(self):
        while True:
            yield self[0]


def compared(*arguments):
    """The outcome of `verify`, net of the rounding that depends on the size of the batches."""
    parity = verify(*arguments)
    assert parity.mean_relative_error < 1e-6
    return dataclasses.replace(parity, mean_relative_error=0.0)


def test_every_kind_of_data_gives_the_same(model, path):
    expected = compared(model, path, (x(), y()))
    assert expected.samples == 10
    assert expected.keras_accuracy is not None
    assert compared(model, path, ((x(),), y())) == expected
    assert compared(model, path, (tf.constant(x()), tf.constant(y()), np.ones(10))) == expected
    assert compared(model, path, Batches()) == expected
    assert compared(model, path, iter([Batches()[0], Batches()[1], Batches()[2]])) == expected
    assert compared(model, path, (x(), y().astype("f")[:, None])) == expected
    assert compared(model, path, (x(), np.eye(3)[y()])) == expected
    assert compared(model, path, x()).keras_accuracy is None


def test_several_inputs_and_outputs(tmp_path):
    model = two_inputs()
    path = tmp_path / "model.tflite"
    a, b = x(), x(seed=1)
    assert convert(model, path, verify_data=((a, b), y())).report.parity.samples == 10
    expected = compared(model, path, ([a, b], y()))
    by_name = {"right": b, "left": a}
    assert compared(model, path, (by_name, y())) == expected
    assert compared(model, path, tf.data.Dataset.from_tensor_slices((by_name, y())).batch(4)) == (
        expected
    )
    assert compared(model, path, [a, b]).samples == compared(model, path, by_name).samples == 10
    both = keras.Model(model.inputs, [model.output, keras.layers.Dense(2)(model.output)])
    convert(both, path)
    accuracy = expected.keras_accuracy
    for labels in (y(), (y(), x()), dict(zip(both.output_names, (y(), x()), strict=True))):
        assert verify(both, path, ((a, b), labels)).keras_accuracy == accuracy


def test_labels_of_a_model_without_classes_are_left_aside(tmp_path):
    model = one_layer(keras.layers.Dense(1), shape=(4,))
    parity = convert(model, tmp_path / "model.tflite", verify_data=(x(), x())).report.parity
    assert parity.passed
    assert parity.keras_accuracy is None


def dataset(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0])


SEEN_BEFORE_CONVERSION = [
    (lambda: 3, TypeError, "Received: int instead of an array"),
    (lambda: [1, 2], TypeError, "Received: int instead of an array"),
    (lambda: (x(), [0] * 10), TypeError, "Received: list instead of an array"),
    (lambda: (), ValueError, "fit the model's inputs"),
    (lambda: x(0), ValueError, "hold images"),
    (lambda: x()[:, :3], ValueError, "(None, 4). Received: data with float32 of shape (10, 3)"),
    (lambda: x().astype("d"), ValueError, "Received: data with float64 of shape (10, 4)"),
    (lambda: [x(), x()], ValueError, "of shape (10, 4), float32 of shape (10, 4)"),
    (lambda: {"picture": x()}, ValueError, "names, image. Received: picture"),
    (lambda: (x(), y(9)), ValueError, "Received: 10 images and 9 labels"),
    (lambda: with_value(x(), (2, 1), np.nan), ValueError, "NaN or infinity in image 2"),
    (lambda: with_value(x(), [3, 5], np.inf), ValueError, "in image 3 and 1 more"),
    (lambda: (x(), with_value(y(), 4, 3)), ValueError, "label 3 for image 4"),
    (lambda: (x(), with_value(y(), 4, -1)), ValueError, "label -1 for image 4"),
    (lambda: (x(), with_value(y(), 4, 0.5)), ValueError, "label 0.5 for image 4"),
    (lambda: (x(), with_value(y(), 4, np.nan)), ValueError, "label nan for image 4"),
    (lambda: (x(), y().astype(str)), ValueError, "labels of string of shape (10,)"),
    (lambda: (x(), y().astype(object)), ValueError, "labels of string of shape (10,)"),
    (lambda: (x(), np.eye(4)[y()]), ValueError, "labels of float64 of shape (10, 4)"),
    (lambda: (x(), np.eye(3)[y()] * 0.9), ValueError, "label [0.9, 0.0, 0.0] for image 0"),
    (lambda: (x(), np.ones((10, 3))), ValueError, "label [1.0, 1.0, 1.0] for image 0"),
    (lambda: dataset(x(), y()), ValueError, "Received: data with float32 of shape (4,)"),
    (lambda: dataset(x()[:, :3]).batch(4), ValueError, "of shape (None, 3)"),
    (lambda: dataset(x(), y().astype(str)).batch(4), ValueError, "labels of string"),
    (lambda: dataset(x(), np.eye(4)[y()]).batch(4), ValueError, "of shape (None, 4)"),
    (lambda: dataset(x()).batch(4).repeat(), ValueError, "endless dataset"),
    (lambda: dataset(x()).batch(4).take(0), ValueError, "hold images"),
    (
        lambda: dataset(tf.ragged.constant([[1.0]])).batch(4),
        TypeError,
        "Received: RaggedTensorSpec",
    ),
]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    SEEN_BEFORE_CONVERSION,
    ids=[f"{i}-{message}" for i, (_, _, message) in enumerate(SEEN_BEFORE_CONVERSION)],
)
def test_wrong_data_are_refused_before_the_conversion(
    make, error, message, model, path, tmp_path, monkeypatch
):
    with pytest.raises(error, match=re.escape(message)):
        verify(model, path, make())
    monkeypatch.delattr(write, "write_lce")
    with pytest.raises(error, match=re.escape(message)):
        convert(model, tmp_path / "model.tflite", verify_data=make())


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([x(4), with_value(x(4), (1, 1), np.nan)], "in image 5"),
        ([(x(4), y(4)), (x(4), y(4) + 1)], "label 3 for image 6"),
        ([(x(4), y(4)), (x(4), y(3))], "Received: 4 images and 3 labels"),
        ([x(4), x(4)[0]], "of shape (4,)"),
        ([], "hold images"),
    ],
)
def test_wrong_batches_of_a_generator_are_refused_when_they_come(batches, message, model, path):
    generator = iter(batches)
    Samples(model, generator)
    with pytest.raises(ValueError, match=re.escape(message)):
        verify(model, path, generator)


def test_a_generator_is_whole_after_the_check(model, tmp_path):
    generator = (Batches()[i] for i in range(3))
    parity = convert(model, tmp_path / "model.tflite", verify_data=generator).report.parity
    assert parity.samples == 10


def test_a_dataset_of_unknown_shapes_is_checked_when_it_is_read(model, path):
    def of(images, labels):
        return tf.data.Dataset.from_generator(
            lambda: iter([(images, labels)]),
            output_signature=(tf.TensorSpec(None, tf.float32), tf.TensorSpec(None, tf.int64)),
        )

    assert verify(model, path, of(x(), y())).samples == 10
    with pytest.raises(ValueError, match="label 3 for image 9"):
        verify(model, path, of(x(), with_value(y(), 9, 3)))
