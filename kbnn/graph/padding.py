"""The zeros that a convolution's padding="same" adds."""

from typing import cast

import tf_keras as keras

from kbnn.graph.nodes import input_shapes

Paddings = tuple[tuple[int, int], ...]

# What kbnn pads with before the sign, where LCE has no operator for it.
NEGATIVE = -1.0


def same_paddings(layer: keras.layers.Layer) -> set[Paddings] | None:
    """Return what `padding="same"` adds before and after each axis, for each call of a convolution.

    The result is None if it depends on an unknown size.
    """
    shapes = {shape[1:-1] for shape in input_shapes(layer)}
    if max(layer.kernel_size) == 1:
        return {((0, 0),) * len(layer.kernel_size)}
    if any(None in shape for shape in shapes):
        return None
    known = cast("set[tuple[int, ...]]", shapes)
    return {
        tuple(
            _same_padding(*axis)
            for axis in zip(
                shape, layer.kernel_size, layer.strides, layer.dilation_rate, strict=True
            )
        )
        for shape in known
    }


def pads_nothing(layer: keras.layers.Layer) -> bool:
    """Whether `padding="same"` of a convolution adds nothing, as "valid" does."""
    paddings = same_paddings(layer)
    return paddings is not None and not any(
        size for padding in paddings for axis in padding for size in axis
    )


def _same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    window = (kernel - 1) * dilation + 1
    total = max(0, (-(-size // stride) - 1) * stride + window - size)
    return total // 2, total - total // 2
