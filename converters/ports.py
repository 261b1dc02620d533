"""Matches a model's inputs and outputs with a file's."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tf_keras as keras

from kbnn.converters.flatbuffer import Flatbuffer, Port


class PortOrder(NamedTuple):
    """Where each of the model's inputs and outputs is in a file.

    Attributes:
        inputs: for each input of the model its position in the file.
        outputs: the same for the outputs.
        file: what the file holds.
    """

    inputs: list[int]
    outputs: list[int]
    file: Flatbuffer

    def to_file(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """Bring the model's inputs into the file's order and types."""
        ordered = [arrays[self.inputs.index(i)] for i in range(len(arrays))]
        return [
            _quantize(array, port) for array, port in zip(ordered, self.file.inputs, strict=True)
        ]

    def to_model(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """Bring the file's outputs into the model's order and types."""
        return [_dequantize(arrays[i], self.file.outputs[i]) for i in self.outputs]


def match_ports(model: keras.Model, file: Flatbuffer) -> PortOrder:
    """Find a model's inputs and outputs in a file: by name, or else by position.

    A float32 input or output of the model can be int8 or uint8 in the file.

    Raises:
        ValueError: the file belongs to another model.
    """
    outputs = _ports(model.output_names, model.outputs)
    return PortOrder(
        _order(input_ports(model), file.inputs, "inputs"),
        _order(outputs, file.outputs, "outputs"),
        file,
    )


def input_ports(model: keras.Model) -> list[Port]:
    """A model's inputs. The batch and other sizes that are not fixed are None."""
    return _ports(model.input_names, model.inputs)


def ports_text(ports: list[Port]) -> str:
    """Ports for an error message, as `float32 of shape (28, 28, 1) per image`."""
    return ", ".join(f"{port.dtype} of shape {port.shape[1:]} per image" for port in ports)


def is_quantized(wanted: Port, got: Port) -> bool:
    """Whether a file holds a real-valued input or output of the model as integers."""
    return wanted.dtype == np.float32 and got.dtype in (np.int8, np.uint8) and got.scale is not None


def _quantize(array: np.ndarray, port: Port) -> np.ndarray:
    if port.dtype == array.dtype or port.scale is None or port.dtype is None:
        return array
    limits = np.iinfo(port.dtype)
    rounded = np.rint(array / np.float32(port.scale)) + port.zero_point
    return np.clip(rounded, limits.min, limits.max).astype(port.dtype)


def _dequantize(array: np.ndarray, port: Port) -> np.ndarray:
    if array.dtype not in (np.int8, np.uint8) or port.scale is None:
        return array
    return np.float32(port.scale) * (array.astype(np.float32) - np.float32(port.zero_point))


def _order(expected: list[Port], received: list[Port], what: str) -> list[int]:
    names = [port.name for port in received]
    order = list(range(len(received)))
    if {port.name for port in expected} == set(names):
        order = [names.index(port.name) for port in expected]
    if not _match(expected, [received[i] for i in order]):
        raise ValueError(
            f"Expected the {what} of the file to be the model's, {ports_text(expected)}. "
            f"Received: {ports_text(received)}"
        )
    return order


def _ports(names: Sequence[str], tensors: Sequence[Any]) -> list[Port]:
    return [
        Port(name, tuple(tensor.shape), np.dtype(tensor.dtype.as_numpy_dtype))
        for name, tensor in zip(names, tensors, strict=True)
    ]


def _match(expected: list[Port], received: list[Port]) -> bool:
    """Whether types and shapes agree except for the batch. None in `expected` is any size."""
    return len(expected) == len(received) and all(
        (wanted.dtype == got.dtype or is_quantized(wanted, got))
        and len(wanted.shape) == len(got.shape)
        and all(a in (None, b) for a, b in zip(wanted.shape[1:], got.shape[1:], strict=True))
        for wanted, got in zip(expected, received, strict=True)
    )
