"""The kinds of rows: what the table needs to know about a quantizer, a layer or a callback."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

# A function in NumPy. It takes the input and, by name, the weights of the layer.
Formula = Callable[..., np.ndarray]


@dataclasses.dataclass(frozen=True)
class Row:
    """What every row has.

    Attributes:
        name: Part of the tests' ids.
        lacks: The columns that do not apply to the row, each with the reason.
        module: The module whose `ROWS` has the row. Another process imports it to find the row.
            The import registers the row's class with Keras.
    """

    name: str
    lacks: Mapping[str, str] = dataclasses.field(default_factory=dict, kw_only=True)
    module: str = dataclasses.field(default="tests.table.table_rows", kw_only=True)


@dataclasses.dataclass(frozen=True)
class QuantizerRow(Row):
    """A quantizer.

    Attributes:
        make: Returns a new instance, with arguments other than the defaults.
        forward: Its output at inference.
        gradient: Its pseudo-gradient by input in training, or None if that is not elementwise.
        training_forward: Its output in training, if that is different.
        roles: What it quantizes: "input", "kernel" or both.
        alias: The string that Larq's layers accept for it.
    """

    make: Callable[[], keras.layers.Layer]
    forward: Formula
    gradient: Formula | None
    training_forward: Formula | None = None
    roles: tuple[str, ...] = ("input", "kernel")
    alias: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a tensor to quantize: a batch of images, or a kernel."""
        return (4, 8, 8, 32) if "input" in self.roles else (3, 3, 32, 32)


@dataclasses.dataclass(frozen=True)
class LayerRow(Row):
    """A layer between batch normalization and a binary convolution, or before all other layers.

    Attributes:
        make: Returns a new instance, with arguments other than the defaults.
        forward: Its output at inference. Without `training_forward`, it must be differentiable at
            the random numbers of the table.
        training_forward: Its output in training, if that is different.
        shape: The shape of an input, with the batch.
        takes_images: Whether it comes before the first layer.
    """

    make: Callable[[], keras.layers.Layer]
    forward: Formula
    training_forward: Formula | None = None
    shape: tuple[int, ...] = (4, 4, 4, 8)
    takes_images: bool = False


# The rows that `small_network.network` builds a network for. Most columns test that network.
ModelRow = QuantizerRow | LayerRow


@dataclasses.dataclass(frozen=True)
class CallbackRow(Row):
    """A callback of `fit`.

    Attributes:
        make: Takes `train` of `kbnn.data.load` and returns the callbacks for training on it. The
            row's callback is one of them.
        model: Returns an uncompiled model for 28x28x1 images and 10 classes.
    """

    make: Callable[[tf.data.Dataset], list[keras.callbacks.Callback]]
    model: Callable[[], keras.Model]


def by_name(rows: list[Any]) -> dict[str, Any]:
    """Return the rows by their names, which must differ."""
    found = {row.name: row for row in rows}
    if len(found) < len(rows):
        raise ValueError(f"Expected rows with different names. Received: {[r.name for r in rows]}")
    return found
