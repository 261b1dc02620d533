"""Compares a device file with the Keras model on real data."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tf_keras as keras

from kbnn import _checks
from kbnn.converters import flatbuffer, interpreters
from kbnn.converters.comparison import Comparison
from kbnn.converters.device_file import DeviceFile, read_device_file
from kbnn.converters.device_model import DeviceModel
from kbnn.converters.parity import Parity
from kbnn.converters.ports import PortOrder, input_ports, match_ports, ports_text
from kbnn.converters.samples import Samples

Progress = Callable[[int, int | None], None]

INT8_AGREEMENT = 0.95
"""Share of equal classes below which a file that computes in int8 fails."""


def verify(
    model: keras.Model,
    path: str | os.PathLike,
    data: Any,
    *,
    int8_agreement: float | None = None,
    interpreter: str | None = None,
    progress: Progress | None = None,
) -> Parity:
    """Compare a device file with the Keras model that it was made from, image by image.

    Use it to check a file again: on other data, in another interpreter, or after changes. `convert`
    with `verify_data` makes the same comparison before it writes a file.

    Every output must be within 1e-3 of Keras's, or within 1e-5 of the image's largest output if
    that is more. An image with a larger difference must have a tie: an activation so close to zero
    (|z| < 1e-4) that rounding decides its sign. The tie must be proven: with the tied bits flipped,
    Keras's outputs are within the tolerance of the device's. The classes of all other images must
    be equal, unless Keras's outputs for the two classes are closer than 1e-4. In a classifier with
    merged branches, where flips cascade, a tie need not be proven, but 99.9 % of the classes must
    be equal.

    A model with mixed precision is compared as it computes in float32, which is what ships. The
    outputs of an int8 file (see `calibration_data` of `convert`) always differ from the model's.
    For such a file, `int8_agreement` of the classes must be equal.

    Args:
        model: the trained or the frozen model.
        path: the `.tflite` file.
        data: batches from a `tf.data.Dataset`, a `keras.utils.Sequence` or a generator, or arrays
            with one batch of any size. A batch is `images`, `(images, labels)` or
            `(images, labels, ...)`. The images of several inputs are a list, tuple or dict of
            arrays. So are the labels of several outputs; the first ones are used. Labels are class
            numbers or one-hot.
        int8_agreement: the share of equal classes that an int8 file must reach. None means
            `kbnn.converters.INT8_AGREEMENT`, 0.95. If the model has no classes, the mean relative
            error of the outputs may be at most 1 - int8_agreement.
        interpreter: "kbnn-runtime" or "lce". None means kbnn-runtime if it is installed, else LCE's
            own interpreter.
        progress: called as `progress(done, total)` after each batch; `total` may be None.

    Returns:
        The comparison, which prints as a table (`rich`), with these attributes:

            - `passed`: whether the file may be used; `failures` lists the reasons if not.
            - `samples`: how many images were compared.
            - `max_difference`: the largest difference of an output.
            - `class_agreement`: the share of equal classes; None if the model has no classes.
            - `keras_accuracy`, `device_accuracy`: None without labels.
            - `ties`: the images above the tolerance that a tie explains, by position in the data.
            - `mean_relative_error`, `above_tolerance`, `max_difference_off_ties`, `class_ties`,
              `chain`, `interpreter`, `int8`: see docs/conversion.md. `to_dict()` gives everything
              for JSON.

    Raises:
        TypeError: `model` or `data` has an unsupported type.
        ValueError: the file is not a valid `.tflite` file or belongs to another model; the data do
            not fit the model, are not finite, are empty, or have labels that are not its classes;
            an argument is out of range; the interpreter is unknown or not installed.
        FileNotFoundError: the file does not exist.
        ConversionError: the interpreter failed.

    Example:

    >>> import tempfile
    >>> import kbnn, numpy as np, tf_keras as keras
    >>> keras.utils.set_random_seed(0)
    >>> model = kbnn.models.vgg_tiny((8, 8, 1), width=32)
    >>> images = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype("float32")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = kbnn.converters.convert(model, f"{folder}/model.tflite").path
    ...     parity = kbnn.converters.verify(model, path, images)
    >>> parity.passed, parity.samples
    (True, 4)
    """
    device_model = DeviceModel(model)
    least = check_agreement(int8_agreement)
    interpreter = interpreters.resolve_interpreter(interpreter)
    check_fixed_sizes(model)
    file = read_device_file(path)
    order = match_ports(model, file.graph)
    return compare(
        device_model,
        *(path, file, order, Samples(model, data)),
        int8_agreement=least,
        interpreter=interpreter,
        progress=progress,
    )


def compare(
    device_model: DeviceModel,
    path: str | os.PathLike,
    file: DeviceFile,
    order: PortOrder,
    samples: Samples,
    *,
    int8_agreement: float,
    interpreter: str,
    progress: Progress | None,
) -> Parity:
    """Compare a file with its model, as `verify` does once it has checked its arguments.

    Args:
        device_model: the model.
        path: the file's path, for the interpreter.
        file: what the file holds.
        order: where the model's inputs and outputs are in the file.
        samples: the data.
        int8_agreement: as for `verify`.
        interpreter: one of the installed `INTERPRETERS`.
        progress: as for `verify`.
    """
    int8 = any(map(flatbuffer.computes_in_int8, file.graph.operators))
    comparison = Comparison(device_model, interpreter, int8_agreement if int8 else None)
    pending: list[tuple[list[np.ndarray], np.ndarray | None]] = []

    def file_inputs() -> Iterator[list[np.ndarray]]:
        for inputs, labels in samples.batches():
            pending.append((inputs, labels))
            yield order.to_file(inputs)

    for outputs in interpreters.predict(path, file_inputs(), interpreter):
        inputs, labels = pending.pop()
        comparison.add(inputs, labels, order.to_model(outputs))
        if progress is not None:
            progress(comparison.samples, samples.count)
    return comparison.parity()


def check_fixed_sizes(model: keras.Model) -> None:
    """Raise ValueError if an input has a size that is not fixed."""
    expected = input_ports(model)
    if any(None in port.shape[1:] for port in expected):
        raise ValueError(
            "Expected inputs of fixed sizes, because LCE's interpreter cannot resize them. "
            f"Received: {ports_text(expected)}. Give keras.Input the sizes, or convert without "
            "`verify_data`."
        )


def check_agreement(int8_agreement: float | None) -> float:
    """The share of equal classes to ask for. Raises ValueError if it is not between 0 and 1."""
    if int8_agreement is None:
        return INT8_AGREEMENT
    return _checks.share("int8_agreement", int8_agreement)
