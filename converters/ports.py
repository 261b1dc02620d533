"""Matches a model's inputs and outputs with a file's."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tf_keras as keras

from kbnn.converters.flatbuffer import Flatbuffer, Port


class PortOrder(NamedTuple):
    """Where each of the model's inputs and outputs is in a file."""

    inputs: list[int]
    outputs: list[int]


def match_ports(model: keras.Model, file: Flatbuffer) -> PortOrder:
    """Find a model's inputs and outputs in a file: by name, or else by position.

    Raises:
        ValueError: the file belongs to another model.
    """
    outputs = _ports(model.output_names, model.outputs)
    return PortOrder(
        _order(input_ports(model), file.inputs, "inputs"), _order(outputs, file.outputs, "outputs")
    )


def input_ports(model: keras.Model) -> list[Port]:
    """A model's inputs. The batch and other sizes that are not fixed are None."""
    return _ports(model.input_names, model.inputs)


def ports_text(ports: list[Port]) -> str:
    """Ports for an error message, as `float32 of shape (28, 28, 1) per image`."""
    return ", ".join(f"{port.dtype} of shape {port.shape[1:]} per image" for port in ports)


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
        wanted.dtype == got.dtype
        and len(wanted.shape) == len(got.shape)
        and all(a in (None, b) for a, b in zip(wanted.shape[1:], got.shape[1:], strict=True))
        for wanted, got in zip(expected, received, strict=True)
    )
