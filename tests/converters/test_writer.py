"""Files of kbnn's writer, held against Larq Compute Engine's converter and against NumPy."""

import functools
from typing import NamedTuple

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st

import kbnn
from kbnn.converters import ConversionError, convert, flatbuffer, lce, verify
from kbnn.converters.device_model import DeviceModel
from kbnn.converters.interpreters import runtime_interpreter
from kbnn.converters.writer.lower_convolutions import pack_filters
from kbnn.converters.writer.write import write_lce
from tests.converters import networks
from tests.converters.networks import BINARY, SHAPE, images, randomised

pytest.importorskip("kbnn_runtime", reason="the files are run with kbnn-runtime")


KERNEL = {name: value for name, value in BINARY.items() if name != "input_quantizer"}


class Files(NamedTuple):
    """The file of kbnn's writer and of LCE's converter for one model."""

    model: keras.Model
    ours: bytes
    theirs: bytes


def files(model: keras.Model) -> Files:
    graph = DeviceModel(model).graph
    return Files(model, write_lce(graph), lce.to_flatbuffer(graph))


def operators(content: bytes, name: str) -> list[flatbuffer.Operator]:
    return [one for one in flatbuffer.read(content).operators if one.name == name]


def packed(content: bytes) -> int:
    found = operators(content, "LceBconv2d")
    return sum(operator.outputs[0].dtype == np.int32 for operator in found)


def run(content: bytes, path, image: np.ndarray) -> np.ndarray:
    path.write_bytes(content)
    return runtime_interpreter(path).predict(image)


def dense_chain() -> keras.Model:
    x = image = keras.Input((4, 4, 64), name="image")
    for units in (40, 12):
        x = keras.layers.Flatten()(x) if len(x.shape) == 4 else x
        x = lq.layers.QuantDense(units, use_bias=units == 12, **BINARY)(x)
        x = keras.layers.BatchNormalization()(x)
    return randomised(keras.Model(image, x))


def convolution(**options) -> keras.Model:
    options = {"filters": 64, "kernel_size": 3, **BINARY, **options}
    x = keras.Input(SHAPE, name="image")
    y = keras.layers.BatchNormalization()(lq.layers.QuantConv2D(**options)(x))
    y = lq.layers.QuantConv2D(8, 1, use_bias=False, **BINARY)(y)
    return randomised(keras.Model(x, keras.layers.BatchNormalization()(y)))


NETWORKS = {
    "chain": networks.chain,
    "residual": networks.residual,
    "nested": networks.nested,
    "dense": dense_chain,
    "valid": convolution,
    "one-padded, strided": lambda: convolution(padding="same", pad_values=1.0, strides=2),
    "zero-padded": lambda: convolution(padding="same"),
    "dilated": lambda: convolution(dilation_rate=2),
    "relu": lambda: convolution(activation="relu", use_bias=False),
    "scaled kernels": lambda: convolution(kernel_quantizer="magnitude_aware_sign"),
    "tiny resnet": lambda: randomised(kbnn.models.resnet((1, 1), (16, 16, 3), 10, 32)),
}


@pytest.mark.lce
@pytest.mark.parametrize("name", NETWORKS)
def test_it_writes_what_lces_converter_writes(name, tmp_path):
    model, ours, theirs = files(NETWORKS[name]())
    mine, other = (operators(content, "LceBconv2d") for content in (ours, theirs))
    assert len(mine) == len(other) > 0
    assert packed(ours) >= packed(theirs)
    assert len(flatbuffer.read(ours).operators) <= len(flatbuffer.read(theirs).operators)
    assert len(ours) <= len(theirs)
    image = images(model, 1)
    a, b = (run(content, tmp_path / "model.tflite", image) for content in (ours, theirs))
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())


@pytest.mark.parametrize(
    "interpreter", ["kbnn-runtime", pytest.param("lce", marks=pytest.mark.lce)]
)
def test_both_interpreters_agree_with_keras(interpreter, tmp_path):
    model = networks.residual()
    path = convert(model, tmp_path / "model.tflite").path
    assert verify(model, path, images(model, 8), interpreter=interpreter).passed


BETWEEN = {
    "nothing": lambda: [],
    "normalization": lambda: [keras.layers.BatchNormalization()],
    "ReLU, normalization": lambda: [keras.layers.ReLU(), keras.layers.BatchNormalization()],
    "normalization, PReLU, scale": lambda: [
        keras.layers.BatchNormalization(),
        keras.layers.PReLU(shared_axes=[1, 2]),
        keras.layers.Rescaling(-0.3, 0.07),
    ],
    "ReLU6, LeakyReLU, normalization": lambda: [
        keras.layers.ReLU(6.0),
        keras.layers.LeakyReLU(),
        keras.layers.BatchNormalization(),
    ],
}


@pytest.mark.parametrize("kernel_quantizer", ["ste_sign", "magnitude_aware_sign"])
@pytest.mark.parametrize("between", BETWEEN)
def test_a_packed_output_has_the_signs_of_every_possible_sum(between, kernel_quantizer):
    """Inputs that reach all sums of 9 products, and what Keras computes from them."""
    x = keras.Input((1, 1, 9), name="image")
    options = {**BINARY, "use_bias": False}
    y = lq.layers.QuantConv2D(64, 1, **{**options, "kernel_quantizer": kernel_quantizer})(x)
    for layer in BETWEEN[between]():
        y = layer(y)
    model = randomised(keras.Model(x, lq.layers.QuantConv2D(16, 1, **options)(y)))
    for weight in model.weights:
        if "alpha" in weight.name:
            weight.assign(tf.abs(weight))  # The sign would change twice.
    inputs = np.where(np.tri(10, 9, -1), 1.0, -1.0).astype("f")
    inputs = np.concatenate([inputs, -inputs])[:, None, None]
    content = write_lce(DeviceModel(model).graph)
    assert packed(content) == 1
    received = kbnn_interpreter(content).predict(inputs)
    np.testing.assert_array_equal(received, model.predict(inputs, verbose=0))


def kbnn_interpreter(content: bytes):
    from kbnn_runtime import Interpreter

    return Interpreter(content, sidecar=None)


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-45, -1e-45])
def test_the_sign_of_zero_is_positive(value, tmp_path):
    x = keras.Input((1, 1, 32), name="image")
    y = lq.layers.QuantConv2D(4, 1, use_bias=False, **BINARY)(x)
    model = randomised(keras.Model(x, y))
    image = np.full((1, 1, 1, 32), value, np.float32)
    received = run(write_lce(DeviceModel(model).graph), tmp_path / "model.tflite", image)
    kernel = np.where(model.get_weights()[0] >= 0, 1.0, -1.0)
    sign = -1.0 if value < 0 else 1.0
    np.testing.assert_array_equal(received, sign * kernel.sum(axis=(0, 1, 2))[None, None, None])


def test_padding_that_lces_converter_mistakes_is_right(tmp_path):
    x = keras.Input(SHAPE, name="image")
    y = keras.layers.ZeroPadding2D(1)(x)
    y = lq.layers.QuantConv2D(8, 3, strides=2, **BINARY)(y)
    y = keras.layers.Conv2D(4, 3, strides=2)(tf.pad(y, [[0, 0], [1, 1], [1, 1], [0, 0]]))
    model = randomised(keras.Model(x, y))
    result = convert(model, tmp_path / "model.tflite", verify_data=images(model))
    assert result.report.parity.max_difference < 1e-4


@keras.utils.register_keras_serializable("test_writer")
class HalfSign(lq.quantizers.Quantizer):
    """A sign of the user's own, whose threshold is not zero."""

    precision = 1

    def call(self, inputs):
        return tf.where(inputs >= 0.5, 1.0, -1.0)


@keras.utils.register_keras_serializable("test_writer")
class ZeroAndOne(HalfSign):
    """Says that its outputs are signs, which they are not."""

    def call(self, inputs):
        return tf.where(inputs >= 0.5, 1.0, 0.0)


def test_a_quantizer_that_only_says_it_gives_signs_is_noticed():
    x = keras.Input(SHAPE, name="image")
    y = lq.layers.QuantConv2D(8, 3, name="conv", **{**BINARY, "input_quantizer": ZeroAndOne()})(x)
    (result,) = kbnn.converters.lint(keras.Model(x, y))
    assert not result.binary
    assert "its outputs were not +1 and -1 when tried" in result.problem


@keras.utils.register_keras_serializable("test_writer")
class LearnedThreshold(HalfSign):
    """A sign of the user's own that has a weight."""

    def build(self, input_shape):
        self.threshold = self.add_weight(name="threshold", shape=input_shape[-1:])

    def call(self, inputs):
        return tf.where(inputs >= self.threshold, 1.0, -1.0)


OWN_QUANTIZERS = {
    "convolution": lambda x, sign: lq.layers.QuantConv2D(8, 3, input_quantizer=sign, **KERNEL)(x),
    "padded with -1": lambda x, sign: lq.layers.QuantConv2D(
        8, 3, padding="same", pad_values=-1.0, input_quantizer=sign, **KERNEL
    )(x),
    "dense layer": lambda x, sign: lq.layers.QuantDense(8, input_quantizer=sign, **KERNEL)(
        keras.layers.Flatten()(x)
    ),
    "behind a sign and pooling": lambda x, sign: lq.layers.QuantConv2D(
        8, 3, input_quantizer=sign, **KERNEL
    )(keras.layers.MaxPooling2D()(lq.quantizers.SteSign()(x))),
}


@pytest.mark.parametrize("sign", [HalfSign, LearnedThreshold])
@pytest.mark.parametrize("place", OWN_QUANTIZERS)
def test_a_quantizer_of_the_users_own_stays_in_front_of_the_bits(place, sign, tmp_path):
    x = keras.Input(SHAPE, name="image")
    model = randomised(keras.Model(x, OWN_QUANTIZERS[place](x, sign())))
    result = convert(model, tmp_path / "model.tflite", verify_data=images(model))
    assert result.report.binary_ops == 1
    assert result.report.parity.max_difference < 1e-4


@keras.utils.register_keras_serializable("test_writer")
class TwoBits(lq.quantizers.SteSign):
    """A sign that says it has two bits."""

    precision = 2


def test_a_binary_kernel_runs_binary_whatever_its_quantizer_says(tmp_path):
    x = keras.Input(SHAPE, name="image")
    y = lq.layers.QuantConv2D(8, 3, **{**BINARY, "kernel_quantizer": TwoBits()})(x)
    model = randomised(keras.Model(x, y))
    result = convert(model, tmp_path / "model.tflite", verify_data=images(model))
    assert result.report.binary_ops == 1
    assert result.report.parity.max_difference < 1e-4


NO_SIGNS = {
    "a condition that compares nothing": lambda x: tf.where(tf.cast(x, tf.bool), 1.0, -1.0),
    "a ReLU in the sum": lambda x: tf.sign(tf.nn.relu(tf.sign(x) + 0.1)),
    "another threshold": lambda x: tf.where(x >= 0.5, 1.0, -1.0),
    "the opposite": lambda x: tf.where(x < 0, 1.0, -1.0),
}


@pytest.mark.parametrize("name", NO_SIGNS)
def test_what_only_looks_like_a_sign_is_not_taken_for_one(name, tmp_path):
    x = keras.Input(SHAPE, name="image")
    y = lq.layers.QuantConv2D(8, 3, **BINARY)(NO_SIGNS[name](x))
    model = randomised(keras.Model(x, y))
    result = convert(model, tmp_path / "model.tflite", verify_data=images(model))
    assert result.report.binary_ops == 1
    assert result.report.parity.max_difference < 1e-4


def test_an_operation_that_no_runtime_has_is_named(tmp_path):
    x = keras.Input(SHAPE, name="image")
    y = keras.layers.Conv2D(4, 1)(tf.math.betainc(x, x, x))
    with pytest.raises(ConversionError, match=r"has an operator for\. Received: Betainc"):
        convert(keras.Model(x, y), tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())


def test_the_same_model_gives_the_same_bytes():
    model = networks.residual()
    first, second = (write_lce(DeviceModel(model).graph) for _ in range(2))
    assert first == second


def test_constants_are_aligned_as_the_schema_asks():
    content = write_lce(DeviceModel(networks.chain()).graph)
    model = schema.Model.GetRootAs(content, 0)
    positions = [
        model.Buffers(i).DataAsNumpy().ctypes.data - np.frombuffer(content, "u1").ctypes.data
        for i in range(model.BuffersLength())
        if model.Buffers(i).DataLength()
    ]
    assert len(positions) > 5
    assert not [position for position in positions if position % 16]


def test_a_file_says_what_wrote_it():
    content = write_lce(DeviceModel(networks.small_chain()).graph)
    assert schema.Model.GetRootAs(content, 0).Description() == f"kbnn {kbnn.__version__}".encode()


@settings(max_examples=30, deadline=None)
@given(
    channels=st.integers(1, 70),
    filters=st.integers(1, 5),
    size=st.integers(1, 3),
    seed=st.integers(0, 2**16),
)
def test_filters_unpack_to_what_was_packed(channels, filters, size, seed):
    kernel = np.random.default_rng(seed).choice([-0.5, 0.5], (size, size, channels, filters))
    unpacked = flatbuffer.unpack_filters(pack_filters(kernel), channels)
    np.testing.assert_array_equal(unpacked, np.sign(kernel))


@functools.cache
def int8_files() -> Files:
    from kbnn.converters.int8 import quantize_real_layers
    from kbnn.converters.linted_model import LintedModel
    from kbnn.converters.samples import Samples

    model = networks.residual()
    graph = DeviceModel(model).graph
    shipped = LintedModel(quantize_real_layers(graph, Samples(model, images(model)), form="all"))
    return Files(model, write_lce(shipped, int8=True), lce.to_flatbuffer(shipped))


@pytest.mark.lce
def test_int8_files_compute_what_lces_compute(tmp_path):
    model, ours, theirs = int8_files()
    image = images(model, 1)
    a, b = (run(content, tmp_path / "model.tflite", image) for content in (ours, theirs))
    # Rounding can differ by one step of the last layers.
    assert np.abs(a - b).max() <= 0.02 * np.abs(b).max()
    names = [{one.name for one in flatbuffer.read(content).operators} for content in (ours, theirs)]
    assert names[0] == names[1]
