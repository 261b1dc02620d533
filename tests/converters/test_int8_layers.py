"""int8 for convolutions and dense layers only: which operators of a file compute in what."""

import functools
from typing import NamedTuple

import larq as lq
import numpy as np
import pytest
import tf_keras as keras

from kbnn.converters import convert, flatbuffer
from kbnn.converters.device_model import DeviceModel
from kbnn.converters.int8 import quantize_real_layers
from kbnn.converters.interpreters import runtime_interpreter
from kbnn.converters.linted_model import LintedModel
from kbnn.converters.samples import Samples
from kbnn.converters.writer.write import write_lce
from tests.converters import networks
from tests.converters.networks import BINARY, images, randomised

pytest.importorskip("kbnn_runtime", reason="the files are run with kbnn-runtime")

layers = keras.layers


class Int8File(NamedTuple):
    simulated: keras.Model
    content: bytes
    operators: list[flatbuffer.Operator]

    @property
    def types(self) -> list[str]:
        """`CONV_2D int8`, ..., in order, without the conversions."""
        return [
            f"{operator.name} {operator.outputs[0].dtype.name}"
            for operator in self.operators
            if operator.name not in ("QUANTIZE", "DEQUANTIZE")
        ]

    def count(self, name: str) -> int:
        return sum(operator.name == name for operator in self.operators)

    def predict(self, inputs: np.ndarray, folder) -> np.ndarray:
        path = folder / "model.tflite"
        path.write_bytes(self.content)
        return runtime_interpreter(path).predict(inputs)


def int8_file(model: keras.Model, form: str = "layers") -> Int8File:
    samples = Samples(model, images(model, 64))
    simulated = quantize_real_layers(DeviceModel(model).graph, samples, form=form)
    content = write_lce(LintedModel(simulated), int8=True)
    return Int8File(simulated, content, flatbuffer.read(content).operators)


def sequential(shape: tuple[int, ...], *given: keras.layers.Layer) -> keras.Model:
    return randomised(keras.Sequential([keras.Input(shape, name="image"), *given]))


def quicknet() -> keras.Model:
    """The stem, a block, a transition and the head of a QuickNet."""
    x = image = keras.Input((16, 16, 3), name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = layers.Conv2D(32, 1, use_bias=False)(layers.BatchNormalization()(x))
    x = layers.BatchNormalization()(x)
    for _ in range(2):
        y = lq.layers.QuantConv2D(
            32, 3, padding="same", pad_values=1.0, activation="relu", use_bias=False, **BINARY
        )(x)
        x = layers.Add()([x, layers.BatchNormalization()(y)])
    x = layers.AveragePooling2D()(layers.ReLU()(x))
    x = layers.BatchNormalization()(layers.Conv2D(64, 1, use_bias=False)(x))
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    return randomised(keras.Model(image, layers.Dense(10, activation="softmax")(x)))


def real_chain() -> keras.Model:
    return sequential(
        (16, 16, 3),
        layers.Conv2D(8, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.ZeroPadding2D(),
        layers.DepthwiseConv2D(3, use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(6.0),
        layers.Conv2D(8, 1),
        layers.Flatten(),
        layers.Dense(5),
    )


NETWORKS = {
    "chain": lambda: networks.small_chain(classifier_activation=None),
    "residual": networks.residual,
    "QuickNet": quicknet,
    "real-valued chain": real_chain,
}


class Both(NamedTuple):
    """A network, and its files in both forms."""

    model: keras.Model
    file: Int8File
    whole: Int8File


@functools.cache
def both_files(name: str) -> Both:
    model = NETWORKS[name]()
    return Both(model, int8_file(model), int8_file(model, "all"))


@pytest.fixture(params=NETWORKS)
def both(request) -> Both:
    return both_files(request.param)


def test_sums_and_averages_of_a_residual_network_stay_float():
    file = both_files("residual").file
    assert file.types == [
        "CONV_2D int8",
        "LceQuantize int32",
        "LceBconv2d float32",
        "ADD float32",
        "LceQuantize int32",
        "LceBconv2d float32",
        "ADD float32",
        "MEAN float32",
        "FULLY_CONNECTED int8",
    ]
    # The image and the averages; the shortcut and the logits.
    assert (file.count("QUANTIZE"), file.count("DEQUANTIZE")) == (2, 2)


def test_normalization_behind_a_binary_relu_and_average_pooling_stay_float():
    file = both_files("QuickNet").file
    assert file.types == [
        *("CONV_2D int8", "DEPTHWISE_CONV_2D int8", "CONV_2D int8"),
        *("LceQuantize int32", "LceBconv2d float32", "ADD float32"),
        # The ReLU is in the sum.
        *("LceQuantize int32", "LceBconv2d float32", "ADD float32"),
        *("AVERAGE_POOL_2D float32", "CONV_2D int8", "MEAN float32"),
        *("FULLY_CONNECTED int8", "SOFTMAX float32"),
    ]
    assert (file.count("QUANTIZE"), file.count("DEQUANTIZE")) == (3, 3)


def test_binary_layers_of_a_chain_stay_packed():
    file = both_files("chain").file
    assert file.types == [
        *("CONV_2D int8", "LceQuantize int32", "LceBconv2d int32", "LceBMaxPool2d int32"),
        *("LceBconv2d int32", "LceBconv2d float32", "RELU float32", "MEAN float32"),
        "FULLY_CONNECTED int8",
    ]
    assert (file.count("QUANTIZE"), file.count("DEQUANTIZE")) == (2, 1)


def test_a_binary_convolution_rounds_its_output_for_a_dense_layer():
    binary = lq.layers.QuantConv2D(8, 3, use_bias=False, **BINARY)
    model = sequential(
        *((6, 6, 32), binary, layers.BatchNormalization()),
        *(layers.Flatten(), layers.Dense(4)),
    )
    assert [operator.name for operator in int8_file(model).operators] == [
        *("LceQuantize", "LceBconv2d", "RESHAPE", "FULLY_CONNECTED", "DEQUANTIZE")
    ]


def test_padding_pooling_and_reshaping_between_int8_layers_are_int8():
    file = both_files("real-valued chain").file
    assert file.types == [
        "CONV_2D int8",
        "MAX_POOL_2D int8",
        "PAD int8",
        "DEPTHWISE_CONV_2D int8",
        "CONV_2D int8",
        "RESHAPE int8",
        "FULLY_CONNECTED int8",
    ]
    assert (file.count("QUANTIZE"), file.count("DEQUANTIZE")) == (1, 1)


def test_every_conversion_is_needed(both):
    _, file, _ = both
    producers = {operator.outputs[0].name: operator.name for operator in file.operators}
    for operator in file.operators:
        before = producers.get(operator.inputs[0].name)
        if operator.name in ("QUANTIZE", "LceQuantize"):
            assert before != "DEQUANTIZE"
    assert not [name for name in producers.values() if name.startswith("Kbnn")]


def test_outputs_are_nearer_to_keras_than_with_int8_everywhere(both, tmp_path):
    model, file, whole = both
    x = images(model, 64, seed=2)
    expected = model.predict(x, verbose=0)
    error, more = (np.abs(one.predict(x, tmp_path) - expected).mean() for one in (file, whole))
    assert 0 < error <= 1.02 * more
    if "ADD float32" in file.types:
        assert error < more


def test_the_file_takes_about_as_many_bytes(both):
    _, file, whole = both
    # A float sum needs no ranges, a conversion is an operator more.
    assert abs(len(file.content) - len(whole.content)) < 1500


def test_the_simulation_gives_the_classes_of_the_file(both, tmp_path):
    model, file, _ = both
    x = images(model, 64, seed=2)
    simulated = file.simulated.predict(x, verbose=0)
    found = file.predict(x, tmp_path)
    assert np.mean(simulated.argmax(axis=1) == found.argmax(axis=1)) >= 0.8
    assert np.abs(simulated - found).mean() < 0.2 * np.abs(simulated).mean()


def test_names_stay_and_so_does_the_given_model():
    model = networks.residual()
    before = [weight.numpy() for weight in model.weights]
    file = int8_file(model)
    assert file.simulated.input_names == ["image"]
    assert file.simulated.output_names == model.output_names
    assert [port.name for port in flatbuffer.read(file.content).outputs] == model.output_names
    for old, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, weight.numpy())


REAL = {"kernel_quantizer": "ste_sign"}
KINDS = {
    "1-D": lambda: [layers.Conv1D(8, 3, activation="relu"), layers.MaxPooling1D()],
    "1-D, normalization": lambda: [layers.Conv1D(8, 3), layers.BatchNormalization()],
    "1-D depthwise": lambda: [layers.DepthwiseConv1D(3)],
    "dense, rank 3": lambda: [layers.Dense(8), layers.BatchNormalization(), layers.ReLU()],
    "dense, another activation": lambda: [layers.Dense(8, activation="sigmoid")],
    "transposed": lambda: [layers.Reshape((4, 4, 8)), layers.Conv2DTranspose(8, 3, strides=2)],
    "dilated": lambda: [
        layers.Reshape((4, 4, 8)),
        layers.Conv2D(8, 3, padding="same", dilation_rate=2),
        layers.BatchNormalization(),
    ],
    "binary weights, one-padded": lambda: [
        layers.Reshape((4, 4, 8)),
        lq.layers.QuantConv2D(8, 3, padding="same", pad_values=1.0, **REAL),
        layers.BatchNormalization(),
    ],
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_layer_computes_in_int8(kind, tmp_path):
    model = sequential((16, 8), *KINDS[kind]())
    file = int8_file(model)
    (layer,) = [one for one in file.types if "CONV" in one or "FULLY" in one]
    assert layer.endswith("int8")
    assert not {"MUL float32", "ADD float32"} & set(file.types)
    x = images(model, 64)
    expected = model.predict(x, verbose=0)
    error = np.abs(file.predict(x, tmp_path) - expected).mean()
    assert 0 < error < 0.05 * np.abs(expected).mean()


def test_an_activation_before_batch_normalization_is_in_the_operator():
    model = sequential(
        (8, 8, 4), layers.Conv2D(8, 3, activation="relu"), layers.BatchNormalization()
    )
    assert int8_file(model).types == ["CONV_2D int8", "MUL float32", "ADD float32"]


def test_pooling_before_an_int8_layer_is_int8():
    model = sequential((8, 8, 4), layers.MaxPooling2D(2, 1), layers.DepthwiseConv2D(3))
    assert int8_file(model).types == ["MAX_POOL_2D int8", "DEPTHWISE_CONV_2D int8"]


def test_layers_that_share_an_input_share_its_conversion():
    x = keras.Input((8, 8, 4), name="image")
    y = layers.AveragePooling2D()(x)
    added = layers.Add()([layers.Conv2D(4, 3, padding="same")(y), layers.Conv2D(4, 1)(y)])
    file = int8_file(randomised(keras.Model(x, added)))
    assert (file.count("QUANTIZE"), file.count("DEQUANTIZE")) == (1, 2)


def test_a_layer_that_is_used_twice_has_one_range(tmp_path):
    x = keras.Input((8, 8, 4), name="image")
    layer, relu = layers.Conv2D(4, 3, padding="same"), layers.ReLU()
    y = relu(layer(x))
    model = randomised(keras.Model(x, layers.Add()([y, relu(layer(y))])))
    file = int8_file(model)
    assert file.types == ["CONV_2D int8", "CONV_2D int8", "ADD float32"]
    expected = model.predict(images(model), verbose=0)
    error = np.abs(file.predict(images(model), tmp_path) - expected).mean()
    assert error < 0.03 * np.abs(expected).mean()


@pytest.mark.parametrize(
    "before", [lambda: lq.quantizers.SteSign(), lambda: lq.quantizers.SteTern()]
)
def test_real_weights_behind_a_quantizer_stay_float(before):
    quantizer = before()
    inside = lq.layers.QuantConv2D(8, 3, input_quantizer=quantizer)
    assert "CONV_2D float32" in int8_file(sequential((8, 8, 4), inside)).types


def test_convert_writes_this_form_unless_asked_for_the_other(tmp_path):
    model = networks.residual()
    x = images(model, 64)
    reports = {
        form: convert(
            *(model, tmp_path / "model.tflite"),
            calibration_data=x,
            verify_data=x,
            int8_agreement=0.5,
            **({} if form is None else {"int8": form}),
        ).report
        for form in (None, "all")
    }
    outputs = {form: [row.output for row in report.layers] for form, report in reports.items()}
    assert outputs[None] == ["int8", "float32", "float32", "int8"]
    assert outputs["all"] == ["int8", "int8", "int8", "int8"]
    assert all(report.parity.int8 for report in reports.values())
    for report in reports.values():
        assert report.predicted_bytes == pytest.approx(report.file_bytes, rel=0.15)
