"""What `predict` is given: checked against the model's inputs before any work."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kbnn_runtime.tensor import Tensor


def checked_batch(batch: Any, inputs: Sequence[Tensor]) -> list[np.ndarray]:
    """The arrays for `inputs`, in their order, all of one batch size.

    Args:
        batch: An array for a model with one input, else a dict of arrays by the inputs' names.
        inputs: The model's inputs.

    Raises:
        TypeError: Not an array or a dict of arrays.
        ValueError: A name, shape or type that is not the model's.
    """
    names = [tensor.name for tensor in inputs]
    if isinstance(batch, Mapping):
        if set(batch) != set(names):
            raise ValueError(
                f"Expected arrays for the inputs {names}. Received: {sorted(map(str, batch))}"
            )
        arrays = [batch[name] for name in names]
    elif len(inputs) == 1:
        arrays = [batch]
    else:
        raise TypeError(
            f"Expected a dict of arrays for the inputs {names}. Received: {type(batch).__name__}"
        )
    for array, tensor in zip(arrays, inputs, strict=True):
        _check(array, tensor)
    sizes = {tensor.name: len(array) for array, tensor in zip(arrays, inputs, strict=True)}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"Expected one batch size for all inputs. Received: {sizes}")
    return arrays


def _check(array: Any, tensor: Tensor) -> None:
    if not isinstance(array, np.ndarray):
        raise TypeError(
            f"Expected an array for the input {tensor.name!r}. Received: {type(array).__name__}"
        )
    fits = array.ndim == len(tensor.shape) and all(
        expected in (None, size) for expected, size in zip(tensor.shape, array.shape, strict=True)
    )
    if not fits:
        way_out = ""
        if array.ndim == len(tensor.shape) - 1:
            way_out = "; one example is array[None]"
        raise ValueError(
            f"Expected shape {shape_text(tensor.shape)} for the input {tensor.name!r}{way_out}. "
            f"Received: {array.shape}"
        )
    if array.dtype != tensor.dtype:
        raise ValueError(
            f"Expected {tensor.dtype.name} for the input {tensor.name!r}, as the model was made "
            f"for. Received: {array.dtype}"
        )


def shape_text(shape: Sequence[int | None]) -> str:
    """A shape as it is written in messages: `(n, 28, 28, 1)`."""
    sizes = ["n" if size is None else str(size) for size in shape]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"
