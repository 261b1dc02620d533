"""The user's images and labels, in batches that fit a model."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

_BATCH = 256
_BATCHED = (tf.data.Dataset, keras.utils.Sequence, Iterator)

Batch = tuple[list[np.ndarray], np.ndarray | None]


class Samples:
    """Images and labels that are checked as soon as possible, and once.

    Arrays are checked completely, a `keras.utils.Sequence` by its first batch, a `tf.data.Dataset`
    by the types and shapes of its elements. A generator is not touched. The rest is checked batch
    by batch.

    Args:
        model: the model that the images must fit, functional or Sequential.
        data: batches from a `tf.data.Dataset`, a `keras.utils.Sequence` or a generator, or arrays
            with one batch of any size. A batch is `images`, `(images, labels)` or
            `(images, labels, ...)`. The images of several inputs are a list, tuple or dict of
            arrays. So are the labels of several outputs; the first ones are used. Labels are class
            numbers or one-hot. They are ignored if the model does not classify.

    Raises:
        TypeError: data of an unsupported type.
        ValueError: images whose shape or type the model's inputs do not have, or that are not
            finite; labels that are not the model's classes; no images; an endless dataset.
    """

    def __init__(self, model: keras.Model, data: Any) -> None:
        self._model = model
        self._data = data
        self._arrays: Batch | None = None
        if isinstance(data, Iterator):
            return
        if isinstance(data, tf.data.Dataset):
            size = int(data.cardinality())
            _inputs_and_labels(model, data.element_spec)
        elif isinstance(data, keras.utils.Sequence):
            size = len(data)
            if size:
                _check_batch(model, data[0], 0)
        else:
            self._arrays = _check_batch(model, data, 0)
            size = len(self._arrays[0][0])
        if size == tf.data.INFINITE_CARDINALITY:
            raise ValueError(
                "Expected `data` to end. Received: an endless dataset; leave out repeat()"
            )
        if size == 0:
            raise ValueError("Expected `data` to hold images. Received: none")

    @property
    def count(self) -> int | None:
        """The number of images, or None if it is not known without reading them."""
        return None if self._arrays is None else len(self._arrays[0][0])

    def batches(self) -> Iterator[Batch]:
        """The data as `(list of inputs, class numbers or None)`, batch by batch.

        Raises:
            TypeError, ValueError: a batch is wrong, as described for the class.
        """
        if self._arrays is not None:
            inputs, numbers = self._arrays
            for i in range(0, len(inputs[0]), _BATCH):
                part = slice(i, i + _BATCH)
                yield [array[part] for array in inputs], None if numbers is None else numbers[part]
            return
        done = 0
        for element in _elements(self._data):
            inputs, numbers = _check_batch(self._model, element, done)
            done += len(inputs[0])
            if len(inputs[0]):
                yield inputs, numbers


def class_count(model: keras.Model) -> int | None:
    """The number of a model's classes; None unless its first output is `(batch, classes)`."""
    shape = model.outputs[0].shape
    return shape[1] if len(shape) == 2 and (shape[1] or 0) > 1 else None


def _elements(data: Any) -> Iterator[Any]:
    if isinstance(data, tf.data.Dataset):
        return data.as_numpy_iterator()
    # A Sequence is read by index, because the iterators of some start again at their end.
    return (data[i] for i in range(len(data))) if isinstance(data, keras.utils.Sequence) else data


def _check_batch(model: keras.Model, element: Any, first: int) -> Batch:
    """Check a batch and convert it; `first` is the position of its first image in the data."""
    images, labels = _inputs_and_labels(model, element)
    inputs = [np.asarray(array) for array in images]
    for array in inputs:
        _check_finite(array, first)
    return inputs, _class_numbers(labels, class_count(model), first)


def _inputs_and_labels(model: keras.Model, element: Any) -> tuple[list[Any], Any]:
    """The inputs and the labels (or None) of a batch, given as arrays or as their specs."""
    images, labels = element, None
    if isinstance(element, tuple) and element:
        images, labels = element[0], element[1] if len(element) > 1 else None
    inputs = _in_order(images, model.input_names)
    expected = [tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype) for tensor in model.inputs]
    specs = [_spec(array) for array in inputs]
    if len(expected) != len(specs) or not all(map(_compatible, expected, specs)):
        raise ValueError(
            "Expected `data` to fit the model's inputs, batches of "
            f"{', '.join(map(_spec_text, expected))}. "
            f"Received: data with {', '.join(map(_spec_text, specs))}"
        )
    classes = class_count(model)
    if classes is None:
        labels = None
    elif labels is not None:
        labels = _in_order(labels, model.output_names)[0] if len(model.outputs) > 1 else labels
        specs.append(_spec(labels))
        _check_labels(specs[-1], classes)
    if len({spec.shape[0] for spec in specs if spec.shape.rank} - {None}) > 1:
        kinds = ["images"] * len(inputs) + ["labels"]
        counts = [f"{spec.shape[0]} {kind}" for spec, kind in zip(specs, kinds, strict=False)]
        raise ValueError(
            "Expected `data` to have the same number of images for each input, and of labels. "
            f"Received: {' and '.join(counts)}"
        )
    return inputs, labels


def _in_order(values: Any, names: Sequence[str]) -> list[Any]:
    """The values of a model's inputs or outputs in the model's order."""
    if not isinstance(values, Mapping):
        return tf.nest.flatten(values)
    if set(values) != set(names):
        raise ValueError(
            f"Expected the keys of `data` to be the model's names, {', '.join(names)}. "
            f"Received: {', '.join(map(str, values))}"
        )
    return [values[name] for name in names]


def _spec(array: Any) -> tf.TensorSpec:
    if isinstance(array, tf.TensorSpec):
        return array
    if isinstance(array, np.ndarray | tf.Tensor):
        return tf.TensorSpec(array.shape, array.dtype)
    raise TypeError(
        "Expected `data` to be a tf.data.Dataset, a keras.utils.Sequence or a generator of "
        "batches, or arrays: images or (images, labels), where the images of several inputs are a "
        f"list, tuple or dict. Received: {type(array).__name__} instead of an array"
    )


def _compatible(expected: tf.TensorSpec, received: tf.TensorSpec) -> bool:
    return expected.dtype == received.dtype and expected.shape.is_compatible_with(received.shape)


def _spec_text(spec: tf.TensorSpec) -> str:
    return f"{spec.dtype.name} of shape {spec.shape}"


def _check_finite(array: np.ndarray, first: int) -> None:
    if array.dtype.kind != "f":
        return
    bad = np.flatnonzero(~np.isfinite(array).all(axis=tuple(range(1, array.ndim))))
    if len(bad):
        raise ValueError(
            "Expected finite images. Received: `data` with NaN or infinity in image "
            f"{first + bad[0]}" + (f" and {len(bad) - 1} more" if len(bad) > 1 else "")
        )


def _check_labels(labels: tf.TensorSpec, count: int) -> None:
    """Raise ValueError unless labels have the shape and type of class numbers or one-hot labels."""
    dtype = labels.dtype
    shapes = [None], [None, 1], [None, count]
    if not (dtype.is_integer or dtype.is_floating or dtype.is_bool) or not any(
        labels.shape.is_compatible_with(shape) for shape in shapes
    ):
        raise ValueError(
            f"Expected labels to be class numbers, or one-hot with {count} classes. "
            f"Received: `data` with labels of {_spec_text(labels)}"
        )


def _class_numbers(labels: Any, count: int | None, first: int) -> np.ndarray | None:
    if labels is None or count is None:
        return None
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] > 1:
        expected = "each one-hot label to be a single 1 and zeros"
        wrong = ((labels != 0) & (labels != 1)).any(axis=1) | (labels.sum(axis=1) != 1)
        numbers = labels.argmax(axis=1)
    else:
        expected = f"labels to be class numbers from 0 to {count - 1}"
        numbers = labels.reshape(len(labels))
        wrong = ~np.isin(numbers, np.arange(count))
    if wrong.any():
        i = int(wrong.argmax())
        raise ValueError(
            f"Expected {expected}. Received: `data` with the label {labels[i].tolist()} for image "
            f"{first + i}"
        )
    return numbers
