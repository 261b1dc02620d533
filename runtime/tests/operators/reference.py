"""What LCE's operators compute, in NumPy: slow and obvious."""

import numpy as np
from operator_models import Convolution


def pack(values: np.ndarray) -> np.ndarray:
    """Bits of the last axis, 1 for values below zero, 32 in an int32, the first the lowest."""
    bits = np.asarray(values) < 0
    missing = -bits.shape[-1] % 32
    bits = np.pad(bits, [(0, 0)] * (bits.ndim - 1) + [(0, missing)])
    return np.packbits(bits, axis=-1, bitorder="little").view(np.int32)


def unpack(words: np.ndarray, channels: int) -> np.ndarray:
    """+-1, int64, of `channels` channels."""
    bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=-1, bitorder="little")
    return 1 - 2 * bits[..., :channels].astype(np.int64)


def windows(size: int, taps: int, stride: int, dilation: int, same: bool) -> tuple[int, int, int]:
    """Size of the output, padding before, padding behind, as TensorFlow has them."""
    extent = (taps - 1) * dilation + 1
    if not same:
        return (size - extent) // stride + 1, 0, 0
    output = -(-size // stride)
    padding = max(0, (output - 1) * stride + extent - size)
    return output, padding // 2, padding - padding // 2


def convolution_sums(convolution: Convolution, inputs: np.ndarray) -> np.ndarray:
    """The sums of products, int64, NHWC, of inputs +-1."""
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
    """The operator's output for inputs +-1.

    Float and int8 outputs are computed as LCE computes them, multiplier and bias in float32 with
    the back-transformation and the int8 scale folded in, so that they are the same to the last bit.
    """
    sums = convolution_sums(convolution, inputs)
    products = convolution.filters[0].size
    if convolution.output == "packed":
        # Twice the differing bits, K - s, is odd where zero padding meets odd channels.
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
    return quantized(values) if convolution.output == "int8" else values


def quantized(values: np.ndarray) -> np.ndarray:
    """Rounded, halves away from zero, and clamped to int8."""
    wide = values.astype(np.float64)
    rounded = np.copysign(np.floor(np.abs(wide) + 0.5), wide)
    return np.clip(rounded, -128, 127).astype(np.int8)


def max_pool(
    inputs: np.ndarray, size: tuple[int, int], strides: tuple[int, int], same: bool
) -> np.ndarray:
    """The maximum of inputs +-1, int64; padding takes no part."""
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
