"""The description of a model's input or output: name, shape, type and quantization."""

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An input or an output of a model.

    Attributes:
        name: Its name in the model's signature, or in its graph if it has no signature.
        shape: Its sizes, with None for a free one. The first is the batch size, which is always
            free.
        dtype: The type of its elements.
        scale: The scale of a quantized tensor: real = scale * (stored - zero_point). None if it is
            not quantized.
        zero_point: The stored value of the real value 0.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype
    scale: float | None = None
    zero_point: int = 0

    def dequantize(self, stored: np.ndarray) -> np.ndarray:
        """Return scale * (stored - zero_point) in float32.

        If the tensor is not quantized, the values are only converted.
        """
        real = np.asarray(stored, np.float32)
        if self.scale is None:
            return real
        return np.float32(self.scale) * (real - np.float32(self.zero_point))

    def to_dict(self) -> dict[str, Any]:
        """Return the description that `kbnn-run info --json` prints."""
        return {**dataclasses.asdict(self), "shape": list(self.shape), "dtype": self.dtype.name}


def make_tensor(details: dict[str, Any], name: str) -> Tensor:
    """Make a `Tensor` from an entry of LiteRT's `get_input_details` or `get_output_details`."""
    # Old converters write no shape signature.
    signature = details.get("shape_signature", ())
    shape = signature if len(signature) == len(details["shape"]) else details["shape"]
    sizes: list[int | None] = [None if size < 0 else int(size) for size in shape]
    if sizes:
        sizes[0] = None
    scale, zero_point = details["quantization"]
    return Tensor(
        name=name,
        shape=tuple(sizes),
        dtype=np.dtype(details["dtype"]),
        scale=float(scale) if scale else None,
        zero_point=int(zero_point) if scale else 0,
    )
