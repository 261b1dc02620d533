"""Slow and simple NumPy versions of LCE's operators."""

import numpy as np
from operator_models import Convolution


def pack(values: np.ndarray) -> np.ndarray:
    """Pack the signs along the last axis, 32 to an int32. A bit is 1 for a value below zero."""
    bits = np.asarray(values) < 0
    missing = -bits.shape[-1] % 32
    bits = np.pad(bits, [(0, 0)] * (bits.ndim - 1) + [(0, missing)])
    return np.packbits(bits, axis=-1, bitorder="little").view(np.int32)


def unpack(words: np.ndarray, channels: int) -> np.ndarray:
    """Unpack `channels` channels to int64 values of +-1."""
    bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=-1, bitorder="little")
    return 1 - 2 * bits[..., :channels].astype(np.int64)


def windows(size: int, taps: int, stride: int, dilation: int, same: bool) -> tuple[int, int, int]:
    """Return TensorFlow's output size, padding before and padding behind along one axis."""
    extent = (taps - 1) * dilation + 1
    if not same:
        return (size - extent) // stride + 1, 0, 0
    output = -(-size // stride)
    padding = max(0, (output - 1) * stride + extent - size)
    return output, padding // 2, padding - padding // 2


def convolution_sums(convolution: Convolution, inputs: np.ndarray) -> np.ndarray:
    """Compute the sums of products for inputs of +-1, as int64 in NHWC."""
    channels, height, width, group_channels = convolution.filters.shape
    same = convolution.padding != "valid"
    (s_y, s_x), (d_y, d_x) = convolution.strides, convolution.dilations
    rows, top, bottom = windows(inputs.shape[1], height, s_y, d_y, same)
    columns, left, right = windows(inputs.shape[2], width, s_x, d_x, same)
    padded = np.pad(
        inputs,
        [(0, 0), (top, bottom), (left, right), (0, 0)],
        constant_values=0 if convolution.padding == "zero" else 1,
    )
    groups = convolution.channels_in // group_channels
    sums = np.zeros((inputs.shape[0], rows, columns, channels), np.int64)
    for group in range(groups):
        outputs = slice(group * channels // groups, (group + 1) * channels // groups)
        of_group = padded[..., group * group_channels : (group + 1) * group_channels]
        for y in range(height):
            for x in range(width):
                reached = of_group[
                    :,
                    y * d_y : y * d_y + (rows - 1) * s_y + 1 : s_y,
                    x * d_x : x * d_x + (columns - 1) * s_x + 1 : s_x,
                ]
                sums[..., outputs] += reached @ convolution.filters[outputs, y, x].T.astype(
                    np.int64
                )
    return sums


def convolve(convolution: Convolution, inputs: np.ndarray) -> np.ndarray:
    """Compute the operator's output for inputs of +-1.

    As in LCE, the back-transformation and the int8 scale are folded into a float32 multiplier and
    bias, so float and int8 outputs are bit-identical.
    """
    sums = convolution_sums(convolution, inputs)
    products = convolution.filters[0].size
    if convolution.output == "packed":
        # K - s, twice the differing bits, is odd if an odd number of channels is zero-padded.
        exceeds = products - sums > 2 * convolution.thresholds.astype(np.int64)
        return pack(1 - 2 * exceeds.astype(np.int64))
    low, high = {
        "none": (-products, products),
        "relu": (0, products),
        "relu_n1_to_1": (-1, 1),
        "relu6": (0, 6),
    }[convolution.activation]
    sums = np.clip(sums, low, high)
    scale, zero_point = convolution.quantization if convolution.output == "int8" else (1.0, 0)
    scale = np.float64(np.float32(scale))
    multiplier = convolution.multiplier.astype(np.float64)
    folded_multiplier = (-multiplier / scale).astype(np.float32)
    folded_bias = (
        (convolution.bias.astype(np.float64) + products * multiplier) / scale + zero_point
    ).astype(np.float32)
    values = (products - sums).astype(np.float32) * folded_multiplier + folded_bias
    return quantize_to_int8(values) if convolution.output == "int8" else values


def quantize_to_int8(values: np.ndarray) -> np.ndarray:
    """Round, halves away from zero, and clamp to int8."""
    wide = values.astype(np.float64)
    rounded = np.copysign(np.floor(np.abs(wide) + 0.5), wide)
    return np.clip(rounded, -128, 127).astype(np.int8)


def max_pool(
    inputs: np.ndarray, size: tuple[int, int], strides: tuple[int, int], same: bool
) -> np.ndarray:
    """Compute the maximum of inputs of +-1, as int64. Padding is ignored."""
    rows, top, bottom = windows(inputs.shape[1], size[0], strides[0], 1, same)
    columns, left, right = windows(inputs.shape[2], size[1], strides[1], 1, same)
    padded = np.pad(inputs, [(0, 0), (top, bottom), (left, right), (0, 0)], constant_values=-1)
    output = np.full((inputs.shape[0], rows, columns, inputs.shape[3]), -1, np.int64)
    for y in range(rows):
        for x in range(columns):
            top_left = y * strides[0], x * strides[1]
            window = padded[
                :, top_left[0] : top_left[0] + size[0], top_left[1] : top_left[1] + size[1]
            ]
            output[:, y, x] = window.max(axis=(1, 2))
    return output
