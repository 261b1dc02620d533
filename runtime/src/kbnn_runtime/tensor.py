"""What an input or an output of a model is: its name, shape, type and quantization."""

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An input or an output of a model.

    Attributes:
        name: Its name in the model's signature, or where there is none, in its graph.
        shape: Sizes; None where a size is free. The first one is the batch, which is always free.
        dtype: The type of its elements.
        scale: Of a quantized tensor, what one step is worth: real = scale * (stored - zero_point).
            None if it is not quantized, and then `zero_point` is 0.
        zero_point: The stored value that stands for 0.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype
    scale: float | None = None
    zero_point: int = 0

    def dequantize(self, stored: np.ndarray) -> np.ndarray:
        """Real values, float32, of stored ones: scale * (stored - zero_point).

        Values of a tensor that is not quantized are only converted.
        """
        real = np.asarray(stored, np.float32)
        if self.scale is None:
            return real
        return np.float32(self.scale) * (real - np.float32(self.zero_point))

    def to_dict(self) -> dict[str, Any]:
        """What `kbnn-run info --json` prints."""
        return {**dataclasses.asdict(self), "shape": list(self.shape), "dtype": self.dtype.name}


def described(details: dict[str, Any], name: str) -> Tensor:
    """The `Tensor` of what LiteRT's `get_input_details` and `get_output_details` give."""
    # Files of old converters have no signature of the shape.
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
