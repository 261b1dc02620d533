"""LceBconv2d: sums, packed, int8 and float outputs are bit-identical to the reference."""

import numpy as np
import pytest
from delegates import interpreter, run
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_models import Convolution
from reference import convolution_sums, convolve, pack, windows

# Every example builds and loads a model.
FEW = settings(max_examples=120, deadline=None)


def signs(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return 1 - 2 * random.integers(0, 2, shape)


@st.composite
def convolutions(draw):
    """Draw any convolution that LCE's format can express, and inputs for it."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    group_channels = 32 * draw(st.integers(1, 3)) if groups > 1 else draw(st.integers(1, 140))
    channels = groups * draw(st.integers(1, 70 if groups == 1 else 40))
    height, width = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    strides = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilations = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = draw(st.sampled_from(["valid", "one", "zero"]))
    smallest = [(height - 1) * dilations[0] + 1, (width - 1) * dilations[1] + 1]
    if padding != "valid":
        smallest = [1, 1]
    shape = (
        draw(st.integers(1, 3)),
        smallest[0] + draw(st.integers(0, 7)),
        smallest[1] + draw(st.integers(0, 9)),
        groups * group_channels,
    )
    products = height * width * group_channels
    thresholds = random.integers(-2, products + 2, channels)
    # The converter's thresholds for a channel that is always or never negative.
    thresholds = np.where(random.random(channels) < 0.1, np.iinfo(np.int32).min, thresholds)
    thresholds = np.where(random.random(channels) < 0.1, np.iinfo(np.int32).max, thresholds)
    convolution = Convolution(
        filters=signs(random, (channels, height, width, group_channels)),
        channels_in=groups * group_channels,
        strides=strides,
        dilations=dilations,
        padding=padding,
        activation=draw(st.sampled_from(["none", "relu", "relu_n1_to_1", "relu6"])),
        multiplier=random.normal(size=channels).astype(np.float32),
        bias=random.normal(size=channels).astype(np.float32) * 3,
        thresholds=thresholds,
        output=draw(st.sampled_from(["float32", "int8", "packed"])),
        quantization=(draw(st.sampled_from([0.02, 0.25, 1.5])), draw(st.integers(-128, 127))),
    )
    return convolution, signs(random, shape)


# Each example runs all kernel sets, so that the search is not repeated for each.
@FEW
@given(case=convolutions(), threads=st.sampled_from([1, 1, 2, 3]))
def test_any_convolution_is_the_reference(case, threads, every_kernels):
    convolution, inputs = case
    expected = convolve(convolution, inputs)
    model = convolution.model()
    for kernels in every_kernels:
        output = run(model, pack(inputs), kernels=kernels, num_threads=threads)
        np.testing.assert_array_equal(output, expected, err_msg=kernels)


LAYERS = [
    # (size, channels in, channels out, filter, stride) of layers in common networks.
    (56, 64, 64, 3, 1),
    (28, 64, 128, 3, 2),
    (14, 256, 256, 3, 1),
    (7, 512, 512, 3, 1),
    (14, 128, 256, 1, 1),
    (1, 4096, 1000, 1, 1),
    (32, 3, 40, 5, 1),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize("output", ["float32", "int8", "packed"])
@pytest.mark.parametrize("padding", ["one", "zero"])
@pytest.mark.parametrize("threads", [1, 4])
def test_layers_of_real_networks(layer, output, padding, threads, kernels):
    size, channels_in, channels, taps, stride = layer
    random = np.random.default_rng(size + channels)
    convolution = Convolution(
        filters=signs(random, (channels, taps, taps, channels_in)),
        channels_in=channels_in,
        strides=(stride, stride),
        padding=padding,
        multiplier=random.normal(size=channels).astype(np.float32),
        bias=random.normal(size=channels).astype(np.float32),
        thresholds=random.normal(channels_in * taps**2 / 2, taps**2, channels).astype(np.int32),
        output=output,
        quantization=(0.7, 3),
    )
    inputs = signs(random, (1, size, size, channels_in))
    result = run(convolution.model(), pack(inputs), kernels=kernels, num_threads=threads)
    np.testing.assert_array_equal(result, convolve(convolution, inputs))


def test_the_sums_themselves(kernels):
    random = np.random.default_rng(0)
    convolution = Convolution(
        filters=signs(random, (33, 3, 3, 97)),
        channels_in=97,
        padding="one",
        multiplier=np.ones(33),
        bias=np.zeros(33),
    )
    inputs = signs(random, (2, 9, 8, 97))
    sums = run(convolution.model(), pack(inputs), kernels=kernels)
    np.testing.assert_array_equal(sums, convolution_sums(convolution, inputs))


def test_counts_of_bits_that_are_all_set_do_not_overflow(kernels):
    # All bits of 9 x 512 words differ, so counts in bytes must be widened in time.
    convolution = Convolution(
        filters=-np.ones((32, 3, 3, 16384), int),
        channels_in=16384,
        multiplier=np.ones(32),
        bias=np.zeros(32),
    )
    inputs = np.ones((1, 3, 3, 16384), int)
    sums = run(convolution.model(), pack(inputs), kernels=kernels)
    np.testing.assert_array_equal(sums, np.full((1, 1, 1, 32), -9 * 16384))


def test_both_infinite_thresholds(kernels):
    least, most = np.iinfo(np.int32).min, np.iinfo(np.int32).max
    convolution = Convolution(
        filters=np.ones((4, 1, 1, 8), int),
        channels_in=8,
        thresholds=np.array([least, most, -1, 8]),
        output="packed",
    )
    inputs = np.stack([np.ones(8, int), -np.ones(8, int)]).reshape(1, 1, 2, 8)
    # Always, never, always and never exceeded, with 0 and with 8 differing bits.
    words = run(convolution.model(), pack(inputs), kernels=kernels)
    np.testing.assert_array_equal(words.ravel(), [0b0101, 0b0101])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_int8_outputs_of_nan_multipliers_do_not_depend_on_the_kernels(value, kernels):
    convolution = Convolution(
        filters=np.ones((40, 1, 1, 8), int),
        channels_in=8,
        multiplier=np.full(40, value, np.float32),
        bias=np.zeros(40),
        output="int8",
        quantization=(0.5, 0),
    )
    inputs = pack(np.ones((1, 1, 1, 8), int))
    portable = run(convolution.model(), inputs, kernels="portable")
    np.testing.assert_array_equal(run(convolution.model(), inputs, kernels=kernels), portable)


def test_halves_are_rounded_away_from_zero(kernels):
    # s = 8; 8 * 0.0625 = 0.5, and so on.
    bias = np.array([0.0, 1.0, 2.0, -1.0, -2.0, -3.0, 0.49999997 - 0.5], np.float32)
    convolution = Convolution(
        filters=np.ones((7, 1, 1, 8), int),
        channels_in=8,
        multiplier=np.full(7, 0.0625),
        bias=bias,
        output="int8",
        quantization=(1.0, 0),
    )
    output = run(convolution.model(), pack(np.ones((1, 1, 1, 8), int)), kernels=kernels)
    np.testing.assert_array_equal(output.ravel(), [1, 2, 3, -1, -2, -3, 0])


@pytest.mark.parametrize("dilation", [1, 1000, 2**30])
@pytest.mark.parametrize("stride", [1, 1000, 2**30])
def test_strides_and_dilations_beyond_the_input(stride, dilation, kernels):
    random = np.random.default_rng(0)
    convolution = Convolution(
        filters=signs(random, (16, 3, 3, 32)),
        channels_in=32,
        strides=(stride, stride),
        dilations=(dilation, dilation),
        padding="one",
        multiplier=np.ones(16),
        bias=np.zeros(16),
    )
    inputs = signs(random, (1, 6, 5, 32))
    sums = run(convolution.model(), pack(inputs), kernels=kernels)
    rows, top, _ = windows(6, 3, stride, dilation, True)
    columns, left, _ = windows(5, 3, stride, dilation, True)
    expected = np.zeros((1, rows, columns, 16))
    for y in range(rows):
        for x in range(columns):
            for i, j in np.ndindex(3, 3):
                at = y * stride - top + i * dilation, x * stride - left + j * dilation
                inside = 0 <= at[0] < 6 and 0 <= at[1] < 5
                pixel = inputs[0, at[0], at[1]] if inside else np.ones(32, int)
                expected[0, y, x] += convolution.filters[:, i, j] @ pixel
    np.testing.assert_array_equal(sums, expected)


def test_very_wide_inputs(kernels):
    random = np.random.default_rng(0)
    convolution = Convolution(
        filters=signs(random, (8, 3, 5, 64)),
        channels_in=64,
        strides=(1, 3),
        dilations=(1, 2),
        padding="zero",
        multiplier=np.ones(8),
        bias=np.zeros(8),
    )
    inputs = signs(random, (1, 2, 20000, 64))
    output = run(convolution.model(), pack(inputs), kernels=kernels, num_threads=3)
    np.testing.assert_array_equal(output, convolution_sums(convolution, inputs))


def test_an_interpreter_takes_one_shape_after_another(kernels):
    random = np.random.default_rng(0)
    convolution = Convolution(
        filters=signs(random, (20, 3, 3, 64)),
        channels_in=64,
        padding="zero",
        multiplier=np.ones(20),
        bias=np.zeros(20),
    )
    network = interpreter(convolution.model(), kernels=kernels, num_threads=2)
    (given,), (answer,) = network.get_input_details(), network.get_output_details()
    for shape in [(1, 5, 5, 64), (4, 17, 3, 64), (1, 1, 1, 64), (2, 40, 40, 64), (1, 5, 5, 64)]:
        inputs = signs(random, shape)
        network.resize_tensor_input(given["index"], pack(inputs).shape)
        network.allocate_tensors()
        network.set_tensor(given["index"], pack(inputs))
        network.invoke()
        output = network.get_tensor(answer["index"])
        np.testing.assert_array_equal(output, convolution_sums(convolution, inputs))
