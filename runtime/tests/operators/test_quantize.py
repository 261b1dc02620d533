"""LceQuantize, LceDequantize and LceBMaxPool2d equal the reference exactly."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from delegates import run
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_models import Tensor, operator_model
from reference import max_pool, pack, unpack

FEW = settings(max_examples=100, deadline=None)
SHAPES = st.one_of(
    hnp.array_shapes(min_dims=1, max_dims=4, max_side=9),
    st.tuples(st.integers(1, 4), st.integers(1, 200)),
    st.tuples(st.integers(1, 6), st.sampled_from([32, 64, 96, 128, 33, 31])),
)


def quantize(values: np.ndarray, quantization=None, **options) -> np.ndarray:
    shape = (1,) * values.ndim
    inputs = [Tensor(shape, values.dtype, quantization=quantization)]
    return run(operator_model("LceQuantize", inputs, Tensor(shape, np.int32)), values, **options)


def dequantize(words: np.ndarray, channels: int, dtype, quantization=None, **options):
    shape = (*words.shape[:-1], channels)
    output = Tensor(shape, dtype, quantization=quantization)
    model = operator_model("LceDequantize", [Tensor(words.shape, np.int32)], output)
    return run(model, words, **options)


@FEW
@given(shape=SHAPES, data=st.data(), threads=st.sampled_from([1, 2]))
def test_quantize_floats(shape, data, threads, every_kernels):
    special = st.sampled_from([0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1e-45, -1e-45])
    elements = st.one_of(special, st.floats(width=32))
    values = data.draw(hnp.arrays(np.float32, shape, elements=elements))
    for kernels in every_kernels:
        words = quantize(values, kernels=kernels, num_threads=threads)
        np.testing.assert_array_equal(words, pack(values), err_msg=kernels)


@FEW
@given(shape=SHAPES, seed=st.integers(0, 2**32 - 1), zero_point=st.integers(-128, 127))
def test_quantize_int8_compares_with_the_zero_point(shape, seed, zero_point, every_kernels):
    values = np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)
    expected = pack(values.astype(int) - zero_point)
    for kernels in every_kernels:
        words = quantize(values, (0.1, zero_point), kernels=kernels)
        np.testing.assert_array_equal(words, expected, err_msg=kernels)


@pytest.mark.parametrize(("zero_point", "word"), [(-1000, 0), (-128, 0), (128, 7), (1000, 7)])
def test_quantize_int8_with_a_zero_point_beyond_int8(zero_point, word, kernels):
    values = np.array([[-128, 0, 127]], np.int8)
    words = quantize(values, (0.1, zero_point), kernels=kernels)
    np.testing.assert_array_equal(words, [[word]])


@FEW
@given(shape=SHAPES, seed=st.integers(0, 2**32 - 1))
def test_quantize_bools(shape, seed, every_kernels):
    values = np.random.default_rng(seed).integers(0, 2, shape).astype(bool)
    for kernels in every_kernels:
        words = quantize(values, kernels=kernels)
        np.testing.assert_array_equal(words, pack(values - 0.5), err_msg=kernels)


@pytest.mark.parametrize("channels", [64, 65])
def test_quantize_and_dequantize_an_image_on_several_threads(channels, kernels):
    values = np.random.default_rng(0).normal(size=(2, 96, 96, channels)).astype(np.float32)
    words = quantize(values, kernels=kernels, num_threads=4)
    np.testing.assert_array_equal(words, pack(values))
    back = dequantize(words, channels, np.float32, kernels=kernels, num_threads=4)
    np.testing.assert_array_equal(back, np.where(values < 0, -1, 1))


@FEW
@given(
    shape=SHAPES,
    seed=st.integers(0, 2**32 - 1),
    quantization=st.tuples(st.floats(2**-10, 4, width=32), st.integers(-128, 127)),
)
def test_dequantize(shape, seed, quantization, every_kernels):
    signs = 1 - 2 * np.random.default_rng(seed).integers(0, 2, shape)
    words, channels = pack(signs), shape[-1]
    np.testing.assert_array_equal(unpack(words, channels), signs)
    scale, zero_point = quantization
    step = np.floor(np.float32(1) / np.float32(scale) + np.float64(0.5))
    quantized = np.clip(zero_point + signs * step, -128, 127)
    for kernels in every_kernels:
        floats = dequantize(words, channels, np.float32, kernels=kernels)
        np.testing.assert_array_equal(floats, signs, err_msg=kernels)
        bytes_ = dequantize(words, channels, np.int8, quantization, kernels=kernels)
        np.testing.assert_array_equal(bytes_, quantized, err_msg=kernels)
        bools = dequantize(words, channels, np.bool_, kernels=kernels)
        np.testing.assert_array_equal(bools, signs > 0, err_msg=kernels)


@FEW
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    extra=st.tuples(st.integers(0, 7), st.integers(0, 7)),
    channels=st.integers(1, 100),
    batches=st.integers(1, 3),
    same=st.booleans(),
    threads=st.sampled_from([1, 3]),
)
def test_max_pool(seed, size, strides, extra, channels, batches, same, threads):
    shape = (batches, size[0] + extra[0], size[1] + extra[1], channels)
    if same:
        shape = (batches, 1 + extra[0], 1 + extra[1], channels)
    signs = 1 - 2 * np.random.default_rng(seed).integers(0, 2, shape)
    options = {
        "filter_height": size[0],
        "filter_width": size[1],
        "stride_height": strides[0],
        "stride_width": strides[1],
        "padding": int(not same),
    }
    words = pack(signs)
    inputs = [Tensor((1, 1, 1, words.shape[-1]), np.int32)]
    model = operator_model("LceBMaxPool2d", inputs, Tensor((1, 1, 1, 1), np.int32), options)
    output = run(model, words, num_threads=threads)
    np.testing.assert_array_equal(output, pack(max_pool(signs, size, strides, same)))
