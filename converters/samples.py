"""Data as the user hands it over, in batches that fit the model."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn.converters.flatbuffer import Port

_BATCH = 256
_OF_BATCHES = (tf.data.Dataset, keras.utils.Sequence, Iterator)

Batch = tuple[list[np.ndarray], np.ndarray | None]


def check(model: keras.Model, data: Any) -> None:
    """Refuse what can be seen to be wrong without consuming a generator or reading a dataset.

    Arrays are looked at whole, of a `keras.utils.Sequence` the first batch, of a `tf.data.Dataset`
    the types and shapes of its elements. The rest shows in `batches`.

    Args:
        model: a built functional or Sequential model.
        data: as in `batches`.

    Raises:
        TypeError, ValueError: as `batches` does.
    """
    if isinstance(data, tf.data.Dataset):
        size = int(data.cardinality())
        _take_apart(model, data.element_spec)
    elif isinstance(data, keras.utils.Sequence):
        size = len(data)
        if size:
            _batch(model, data[0], 0)
    elif isinstance(data, Iterator):
        return
    else:
        size = len(_batch(model, data, 0)[0][0])
    if size == tf.data.INFINITE_CARDINALITY:
        raise ValueError("Expected `data` to end. Received: a dataset without end, as of repeat()")
    if size == 0:
        raise ValueError("Expected `data` to hold images. Received: none")


def batches(model: keras.Model, data: Any) -> Iterator[Batch]:
    """The data as `(list of inputs, class numbers or None)`, batch by batch.

    Args:
        model: the model that the images must fit.
        data: batches from a `tf.data.Dataset`, a `keras.utils.Sequence` or a generator; or one
            batch of any size in arrays. A batch is `images`, `(images, labels)` or
            `(images, labels, ...)`. Images of several inputs are a list, tuple or dict of arrays,
            labels of several outputs likewise, of which the first is taken. Labels are class
            numbers or one-hot; those of a model that gives no classes are left aside.

    Raises:
        TypeError: data of another kind.
        ValueError: images of another shape or type than the model's inputs, or not finite; labels
            that are not the model's classes.
    """
    if not isinstance(data, _OF_BATCHES):
        inputs, numbers = _batch(model, data, 0)
        for i in range(0, len(inputs[0]), _BATCH):
            part = slice(i, i + _BATCH)
            yield [array[part] for array in inputs], None if numbers is None else numbers[part]
        return
    check(model, data)
    done = 0
    for element in _elements(data):
        inputs, numbers = _batch(model, element, done)
        done += len(inputs[0])
        if len(inputs[0]):
            yield inputs, numbers


def count(data: Any) -> int | None:
    """The number of images, where it is known without reading them."""
    if isinstance(data, _OF_BATCHES):
        return None
    return len(tf.nest.flatten(data)[0])


def classes(model: keras.Model) -> int | None:
    """How many classes a model tells apart; None unless its first output is `(batch, classes)`."""
    shape = model.outputs[0].shape
    return shape[1] if len(shape) == 2 and (shape[1] or 0) > 1 else None


def ports(names: Sequence[str], tensors: Sequence[Any]) -> list[Port]:
    """A model's inputs or outputs; the batch, and sizes that are not fixed, are None."""
    return [
        Port(name, tuple(tensor.shape), np.dtype(tensor.dtype.as_numpy_dtype))
        for name, tensor in zip(names, tensors, strict=True)
    ]


def fit(expected: list[Port], received: list[Port]) -> bool:
    """Whether types and shapes agree but for the batch; None in the expected shape is any size."""
    return len(expected) == len(received) and all(
        wanted.dtype == got.dtype
        and len(wanted.shape) == len(got.shape)
        and all(a in (None, b) for a, b in zip(wanted.shape[1:], got.shape[1:], strict=True))
        for wanted, got in zip(expected, received, strict=True)
    )


def described(found: list[Port]) -> str:
    """Ports for an error message: `float32 images of shape (28, 28, 1)`."""
    return ", ".join(f"{port.dtype} of shape {port.shape[1:]} per image" for port in found)


def _elements(data: Any) -> Iterator[Any]:
    if isinstance(data, tf.data.Dataset):
        return data.as_numpy_iterator()
    # A Sequence is read by number: the iterators of some begin again at their end.
    return (data[i] for i in range(len(data))) if isinstance(data, keras.utils.Sequence) else data


def _batch(model: keras.Model, element: Any, first: int) -> Batch:
    """One batch, checked; `first` is the position of its first image in the data."""
    images, labels = _take_apart(model, element)
    inputs = [np.asarray(array) for array in images]
    for array in inputs:
        _check_finite(array, first)
    return inputs, _class_numbers(labels, classes(model), first)


def _take_apart(model: keras.Model, element: Any) -> tuple[list[Any], Any]:
    """The inputs and the labels, or None, of a batch of arrays or of their specifications."""
    images, labels = element, None
    if isinstance(element, tuple) and element:
        images, labels = element[0], element[1] if len(element) > 1 else None
    inputs = _in_order(images, model.input_names)
    expected = [tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype) for tensor in model.inputs]
    specs = [_spec(array) for array in inputs]
    if len(expected) != len(specs) or not all(map(_compatible, expected, specs)):
        raise ValueError(
            "Expected `data` to fit the model's inputs, batches of "
            f"{', '.join(map(_described, expected))}. "
            f"Received: data with {', '.join(map(_described, specs))}"
        )
    number = classes(model)
    if number is None:
        labels = None
    elif labels is not None:
        labels = _in_order(labels, model.output_names)[0] if len(model.outputs) > 1 else labels
        specs.append(_spec(labels))
        _check_labels(specs[-1], number)
    if len({spec.shape[0] for spec in specs if spec.shape.rank} - {None}) > 1:
        kinds = ["images"] * len(inputs) + ["labels"]
        counts = [f"{spec.shape[0]} {kind}" for spec, kind in zip(specs, kinds, strict=False)]
        raise ValueError(
            "Expected `data` to have as many images for each input, and as many labels. "
            f"Received: {' and '.join(counts)}"
        )
    return inputs, labels


def _in_order(values: Any, names: Sequence[str]) -> list[Any]:
    """What belongs to a model's inputs or outputs, in the model's order."""
    if not isinstance(values, Mapping):
        return tf.nest.flatten(values)
    if set(values) != set(names):
        raise ValueError(
            f"Expected `data` to have the model's names, {', '.join(names)}. "
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
        f"list, tuple or dict. Received: {type(array).__name__} where an array should be"
    )


def _compatible(expected: tf.TensorSpec, received: tf.TensorSpec) -> bool:
    return expected.dtype == received.dtype and expected.shape.is_compatible_with(received.shape)


def _described(spec: tf.TensorSpec) -> str:
    return f"{spec.dtype.name} of shape {spec.shape}"


def _check_finite(array: np.ndarray, first: int) -> None:
    if array.dtype.kind != "f":
        return
    bad = np.flatnonzero(~np.isfinite(array).all(axis=tuple(range(1, array.ndim))))
    if len(bad):
        raise ValueError(
            "Expected images of finite numbers. Received: `data` with NaN or infinity in image "
            f"{first + bad[0]}" + (f" and {len(bad) - 1} more" if len(bad) > 1 else "")
        )


def _check_labels(labels: tf.TensorSpec, count: int) -> None:
    """Refuse what neither class numbers nor one-hot labels look like."""
    dtype = labels.dtype
    shapes = [None], [None, 1], [None, count]
    if not (dtype.is_integer or dtype.is_floating or dtype.is_bool) or not any(
        labels.shape.is_compatible_with(shape) for shape in shapes
    ):
        raise ValueError(
            f"Expected labels to be class numbers, or one-hot of {count} classes. "
            f"Received: `data` with labels of {_described(labels)}"
        )


def _class_numbers(labels: Any, count: int | None, first: int) -> np.ndarray | None:
    if labels is None or count is None:
        return None
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] > 1:
        expected = "a single 1 and zeros in each one-hot label"
        wrong = ((labels != 0) & (labels != 1)).any(axis=1) | (labels.sum(axis=1) != 1)
        numbers = labels.argmax(axis=1)
    else:
        expected = f"labels to be class numbers in 0 .. {count - 1}"
        numbers = labels.reshape(len(labels))
        wrong = ~np.isin(numbers, np.arange(count))
    if wrong.any():
        i = int(wrong.argmax())
        raise ValueError(
            f"Expected {expected}. Received: `data` with the label {labels[i].tolist()} for image "
            f"{first + i}"
        )
    return numbers
