"""Checks of the arrays that `predict` receives against the model's inputs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kbnn_runtime.tensor import Tensor


def check_batch(
    batch: np.ndarray | Mapping[str, np.ndarray], inputs: Sequence[Tensor]
) -> list[np.ndarray]:
    """Return the arrays for `inputs`, in their order, after checking that they fit.

    Args:
        batch: An array, or for several inputs a dict of arrays by input name.
        inputs: The model's inputs.

    Raises:
        TypeError: `batch` is neither an array nor a dict of arrays.
        ValueError: A name, shape or type does not match, or the batch sizes differ.
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
        _check_array(array, tensor)
    sizes = {tensor.name: len(array) for array, tensor in zip(arrays, inputs, strict=True)}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"Expected one batch size for all inputs. Received: {sizes}")
    return arrays


def _check_array(array: Any, tensor: Tensor) -> None:
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
            way_out = "; pass a single example as array[None]"
        raise ValueError(
            f"Expected shape {shape_text(tensor.shape)} for the input {tensor.name!r}{way_out}. "
            f"Received: {array.shape}"
        )
    if array.dtype != tensor.dtype:
        raise ValueError(
            f"Expected {tensor.dtype.name}, the type of the input {tensor.name!r}. "
            f"Received: {array.dtype}"
        )


def shape_text(shape: Sequence[int | None]) -> str:
    """Format a shape for a message: `(n, 28, 28, 1)`."""
    sizes = ["n" if size is None else str(size) for size in shape]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"
