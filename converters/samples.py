"""Data as the user hands it over, in batches that fit the model."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn.converters.flatbuffer import Port

_BATCH = 256


def batches(model: keras.Model, data: Any) -> Iterator[tuple[list[np.ndarray], np.ndarray | None]]:
    """The data as `(list of inputs, class numbers or None)`, batch by batch.

    Args:
        model: the model that the images must fit.
        data: a `tf.data.Dataset` of images, `(images, labels)` or `(images, labels, ...)`; arrays
            `(images, labels)`; or an array of images. Labels are integers or one-hot.

    Raises:
        TypeError: data of another kind.
        ValueError: images of another shape or type than the model's inputs.
    """
    expected = ports(model.input_names, model.inputs)
    for images, labels in _pairs(data):
        inputs = [np.asarray(array) for array in tf.nest.flatten(images)]
        received = [Port("", array.shape, array.dtype) for array in inputs]
        if not fit(expected, received):
            raise ValueError(
                f"Expected `data` to fit the model's inputs, {described(expected)}. "
                f"Received: data with {described(received)}"
            )
        numbers = None if labels is None else _class_numbers(np.asarray(labels))
        if numbers is not None and numbers.shape != inputs[0].shape[:1]:
            raise ValueError(
                "Expected `data` to have a label for each image. "
                f"Received: {len(inputs[0])} images and {len(numbers)} labels"
            )
        yield inputs, numbers


def count(data: Any) -> int | None:
    """The number of images, where it is known without reading them."""
    if isinstance(data, tf.data.Dataset):
        return None
    return len(data[0] if isinstance(data, tuple) else data)


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


def _pairs(data: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(data, tf.data.Dataset):
        for element in data.as_numpy_iterator():
            yield (element[0], element[1]) if isinstance(element, tuple) else (element, None)
        return
    images, labels = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
    if not isinstance(images, np.ndarray) or not isinstance(labels, np.ndarray | None):
        raise TypeError(
            "Expected `data` to be a tf.data.Dataset, an array of images or a tuple (images, "
            f"labels) of arrays. Received: data of type {type(data).__name__}"
        )
    for i in range(0, len(images), _BATCH):
        yield images[i : i + _BATCH], None if labels is None else labels[i : i + _BATCH]


def _class_numbers(labels: np.ndarray) -> np.ndarray:
    if labels.ndim == 2 and labels.shape[1] > 1:
        return labels.argmax(axis=1)
    return labels.reshape(len(labels))
