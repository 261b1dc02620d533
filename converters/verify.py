"""The device file against the Keras model, on real data."""

import numbers
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tf_keras as keras

from kbnn import _checks
from kbnn.converters import flatbuffer, interpreters, lce, samples
from kbnn.converters.comparison import Comparison
from kbnn.converters.parity import Parity
from kbnn.graph.precision import in_float32

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
    """Compare a device file with the Keras model that it was made of, image by image.

    The file runs in kbnn-runtime where it is installed, else in LCE's own interpreter. Every output
    must be within 1e-3 of Keras's (or 1e-5 of the image's largest output, where that is more). An
    image beyond that needs an explanation: an activation so close to zero (|z| < 1e-4) that
    rounding decides its sign. The explanation must be proven: with the tied bits flipped, Keras's
    outputs are within the tolerance of the device's. All other classes must be equal, unless
    Keras's outputs for the two are closer than 1e-4. In a classifier with merged branches, where
    flips cascade, a tie need only be there, and 99.9 % of the classes must be equal.

    A model of mixed precision is compared as it computes in float32, which is what ships.

    A file that computes in int8 (see `calibration_data` of `convert`) gives other outputs by its
    nature: there, `int8_agreement` of the classes must be equal.

    Args:
        model: the trained or the frozen model.
        path: the `.tflite` file.
        data: batches `images`, `(images, labels)` or `(images, labels, ...)` from a
            `tf.data.Dataset`, a `keras.utils.Sequence` or a generator; or one such tuple of arrays,
            or an array of images. Images of several inputs are a list, tuple or dict of arrays;
            labels of several outputs likewise, of which the first is taken. Labels are class
            numbers or one-hot.
        int8_agreement: the share of equal classes that an int8 file must reach (None is
            `kbnn.converters.INT8_AGREEMENT`, 0.95); in a model without classes, the outputs' mean
            relative error may be at most 1 - int8_agreement.
        interpreter: "kbnn-runtime" or "lce"; None for the former where it is installed.
        progress: called as `progress(done, total)` after each batch; `total` may be None.

    Raises:
        TypeError: data of another kind.
        ValueError: a file that is not a valid `.tflite`, or of another model; data that do not
            fit the model, are not finite, or have labels that are not its classes; no data; an
            interpreter that is unknown or not installed.
        FileNotFoundError: no such file.
        ConversionError: the interpreter failed.
    """
    _checks.keras2_model("model", model)
    int8_agreement = INT8_AGREEMENT if int8_agreement is None else int8_agreement
    check_agreement(int8_agreement)
    interpreter = interpreters.resolve_interpreter(interpreter)
    check_sizes(model)
    content = pathlib.Path(path).read_bytes()
    lce.check_file(content, str(path))
    file = flatbuffer.read(content)
    inputs_at = _order(samples.ports(model.input_names, model.inputs), file.inputs, "inputs")
    outputs_at = _order(samples.ports(model.output_names, model.outputs), file.outputs, "outputs")
    samples.check(model, data)
    total = samples.count(data)

    int8 = any(flatbuffer.computes_in_int8(operator) for operator in file.operators)
    comparison = Comparison(in_float32(model), interpreter, int8_agreement if int8 else None)
    pending: list[tuple[list[np.ndarray], np.ndarray | None]] = []

    def device_inputs() -> Iterator[list[np.ndarray]]:
        for inputs, labels in samples.batches(model, data):
            pending.append((inputs, labels))
            yield [inputs[inputs_at.index(i)] for i in range(len(inputs))]

    for outputs in interpreters.predict(path, device_inputs(), interpreter):
        inputs, labels = pending.pop()
        comparison.add(inputs, labels, [outputs[i] for i in outputs_at])
        if progress is not None:
            progress(comparison.samples, total)
    return comparison.parity()


def check_sizes(model: keras.Model) -> None:
    """Raise ValueError if an input has an open size: LCE's interpreter cannot resize."""
    expected = samples.ports(model.input_names, model.inputs)
    if any(None in port.shape[1:] for port in expected):
        raise ValueError(
            "Expected inputs of fixed sizes, since LCE's interpreter cannot resize a file's. "
            f"Received: {samples.described(expected)}. Give keras.Input the sizes, or convert "
            "without verifying."
        )


def check_agreement(int8_agreement: float) -> None:
    """Raise ValueError unless it is a share."""
    if not isinstance(int8_agreement, numbers.Real) or not 0 <= int8_agreement <= 1:
        raise ValueError(
            f"Expected `int8_agreement` between 0 and 1. Received: int8_agreement={int8_agreement}"
        )


def _order(
    expected: list[flatbuffer.Port], received: list[flatbuffer.Port], what: str
) -> list[int]:
    """Where in the file each of the model's inputs or outputs stands: by name, else by place."""
    names = [port.name for port in received]
    order = list(range(len(received)))
    if {port.name for port in expected} == set(names):
        order = [names.index(port.name) for port in expected]
    if not samples.fit(expected, [received[i] for i in order]):
        raise ValueError(
            f"Expected the {what} of the file to be the model's, {samples.described(expected)}. "
            f"Received: {samples.described(received)}"
        )
    return order
