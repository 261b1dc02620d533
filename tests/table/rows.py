"""What a row of the table says, kind by kind, and all rows."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

# NumPy's version of a function: called with an input and, by name, the layer's own weights.
Formula = Callable[..., np.ndarray]


@dataclasses.dataclass(frozen=True)
class Row:
    """What the rows of each kind say.

    Attributes:
        name: stands in the tests' ids.
        lacks: columns that do not apply to the row, each with the reason.
        module: the module in whose `ROWS` the row stands, for processes that look it up. Importing
            it registers with Keras what the row is about.
    """

    name: str
    lacks: Mapping[str, str] = dataclasses.field(default_factory=dict, kw_only=True)
    module: str = dataclasses.field(default="tests.table.table_rows", kw_only=True)


@dataclasses.dataclass(frozen=True)
class QuantizerRow(Row):
    """A quantizer.

    Attributes:
        make: a new instance, with arguments other than the defaults.
        forward: its output at inference.
        gradient: its pseudo-gradient in training, by input; None where it is not elementwise.
        training_forward: its output in training, where that is another.
        roles: what it quantizes, "input" or "kernel" or both.
        alias: the string that stands for it in Larq's layers.
    """

    make: Callable[[], keras.layers.Layer]
    forward: Formula
    gradient: Formula | None
    training_forward: Formula | None = None
    roles: tuple[str, ...] = ("input", "kernel")
    alias: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a tensor to quantize: a batch of images, or a kernel."""
        return (4, 8, 8, 32) if "input" in self.roles else (3, 3, 32, 32)


@dataclasses.dataclass(frozen=True)
class LayerRow(Row):
    """A layer that stands between batch normalization and a binary convolution, or in front of all.

    Attributes:
        make: a new instance, with arguments other than the defaults.
        forward: its output at inference. It must be smooth at the random numbers of the table,
            where it is differentiated, if `training_forward` does not stand in.
        training_forward: its output in training, where that is another.
        shape: of an input, the batch included.
        takes_images: it stands in front of the first layer.
    """

    make: Callable[[], keras.layers.Layer]
    forward: Formula
    training_forward: Formula | None = None
    shape: tuple[int, ...] = (4, 4, 4, 8)
    takes_images: bool = False


# The rows that stand in a network (see `small_network.network`), which most columns look at.
ModelRow = QuantizerRow | LayerRow


@dataclasses.dataclass(frozen=True)
class CallbackRow(Row):
    """A callback of `fit`.

    Attributes:
        make: the callbacks of a training on the given `train` of `kbnn.data.load`; the one that
            the row is about is among them.
        model: a model of 28x28x1 images and 10 classes to train, not compiled.
    """

    make: Callable[[tf.data.Dataset], list[keras.callbacks.Callback]]
    model: Callable[[], keras.Model]


def by_name(rows: list[Any]) -> dict[str, Any]:
    """The rows by their names, which must differ."""
    found = {row.name: row for row in rows}
    if len(found) < len(rows):
        raise ValueError(f"Expected rows with different names. Received: {[r.name for r in rows]}")
    return found
