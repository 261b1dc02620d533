"""int8 for everything between binary layers, and what both forms of int8 have in common."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from kbnn.converters import flatbuffer, int8, lce
from kbnn.converters.device_model import DeviceModel
from kbnn.converters.fake_quantization import FakeQuantization
from kbnn.converters.linted_model import LintedModel
from kbnn.converters.samples import Samples
from kbnn.converters.writer import write
from kbnn.graph.layers import layers_of
from tests.converters import networks

GLUE = {"QUANTIZE", "DEQUANTIZE"}


def simulate(model: keras.Model, data) -> keras.Model:
    """The device graph of a model with fake-quantized activations."""
    samples = Samples(model, int8.first_calibration_images(data))
    return int8.quantize_real_layers(DeviceModel(model).graph, samples, form="all")


def quantized(model: keras.Model, data) -> tuple[keras.Model, list[flatbuffer.Operator], bytes]:
    simulated = simulate(model, data)
    content = write.write_lce(LintedModel(simulated), int8=True)
    return simulated, flatbuffer.read(content).operators, content


def real_valued(operators: list[flatbuffer.Operator]) -> list[str]:
    """The operators that still compute in floats."""
    return [
        operator.name
        for operator in operators
        if operator.name not in GLUE and operator.outputs[0].dtype == np.float32
    ]


def on_device(content: bytes, images: np.ndarray, folder) -> np.ndarray:
    path = folder / "model.tflite"
    path.write_bytes(content)
    ((output,),) = lce.predict(path, iter([[images]]))
    return output


def ranges(simulated: keras.Model) -> dict[str, tuple[float, float]]:
    return {
        layer.name: (layer.low, layer.high)
        for layer in layers_of(simulated)
        if isinstance(layer, FakeQuantization)
    }


def softmax_in_the_layer() -> keras.Model:
    x = keras.Input((12,), name="image")
    y = keras.layers.Dense(8, activation="relu")(x)
    return networks.randomised(keras.Model(x, keras.layers.Dense(4, activation="softmax")(y)))


@pytest.mark.parametrize(
    "make",
    [
        networks.small_chain,
        networks.residual,
        networks.nested,
        softmax_in_the_layer,
        lambda: networks.small_chain(input_quantizer=None, kernel_quantizer=None),
    ],
    ids=["chain", "residual", "nested, used twice", "softmax in the layer", "real-valued"],
)
def test_no_operator_computes_in_floats(make):
    model = make()
    _, operators, _ = quantized(model, networks.images(model))
    assert real_valued(operators) == []


def test_binary_layers_of_a_chain_stay_packed_and_the_given_model_and_its_names_stay():
    model = networks.small_chain()
    before = [weight.numpy() for weight in model.weights]
    simulated, operators, _ = quantized(model, networks.images(model))
    binary = [operator for operator in operators if operator.name == "LceBconv2d"]
    assert [operator.outputs[0].dtype.name for operator in binary] == ["int32", "int32", "int8"]
    assert (simulated.input_names, simulated.output_names) == (["image"], ["probabilities"])
    for old, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, weight.numpy())


@pytest.mark.lce
def test_the_file_computes_what_the_simulation_does(tmp_path):
    model = networks.small_chain(
        input_quantizer=None, kernel_quantizer=None, classifier_activation=None
    )
    images = networks.images(model, 64)
    simulated, _, content = quantized(model, images)
    device = on_device(content, images, tmp_path)
    expected = model.predict(images, verbose=0)
    low, high = ranges(simulated)["logits_range"]
    step = (high - low) / 255
    # The simulation rounds activations, the file weights too: some steps of 255 at the output.
    assert np.abs(device - simulated(images)).max() < 12 * step
    assert np.abs(device - expected).max() < 12 * step
    assert np.abs(device - expected).max() > 0


def test_ranges_are_those_of_the_data():
    x = keras.Input((2,), name="image")
    model = keras.Model(x, keras.layers.Dense(1, use_bias=False, name="sum")(x))
    model.set_weights([np.float32([[1], [1]])])
    data = np.float32([[1, 2], [3, -5], [4, 4]])
    found = ranges(simulate(model, data))
    assert found == {"image_range": (-5, 4), "sum_range": (-2, 8)}


def test_ranges_include_zero():
    x = keras.Input((1,), name="image")
    model = keras.Model(x, keras.layers.Activation("relu6", name="cut")(x))
    found = ranges(simulate(model, np.float32([[7], [8]])))
    assert found == {"image_range": (0, 8), "cut_range": (0, 6)}


def test_a_range_before_a_sign_is_finer():
    x = keras.Input((4, 4, 1), name="image")
    y = keras.layers.Conv2D(2, 1, use_bias=False, name="stem")(x)
    y = lq.layers.QuantConv2D(2, 1, use_bias=False, name="conv", **networks.BINARY)(y)
    model = keras.Model(x, y)
    model.set_weights([np.ones((1, 1, 1, 2), "f"), np.ones((1, 1, 2, 2), "f")])
    data = np.linspace(-1, 2, 16, dtype="f").reshape(1, 4, 4, 1)
    found = ranges(simulate(model, data))
    assert found["image_range"] == (-1, 2)
    assert found["stem_range"] == (-1 / 8, 2 / 8)
    assert found["conv_range"] == (-2, 2)


def test_1024_images_are_enough():
    x = keras.Input((1,), name="image")
    model = keras.Model(x, keras.layers.Flatten()(x))
    data = np.arange(2000, dtype="f")[:, None]
    endless = tf.data.Dataset.from_tensor_slices(data[:700]).repeat().batch(300)
    batched = tf.data.Dataset.from_tensor_slices((data, data)).batch(300)
    assert ranges(simulate(model, data)) == {"image_range": (0, 1023)}
    assert ranges(simulate(model, batched)) == {"image_range": (0, 1023)}
    assert ranges(simulate(model, endless)) == {"image_range": (0, 699)}


def test_a_uint8_input_has_no_range():
    model = networks.small_chain(preprocessing=keras.layers.Rescaling(1 / 255, name="rescaling"))
    simulated = simulate(model, networks.images(model))
    assert "image_range" not in ranges(simulated)
    assert ranges(simulated)["rescaling_range"][1] == pytest.approx(1, abs=0.02)


def test_no_image_is_an_error():
    model = networks.small_chain()
    with pytest.raises(ValueError, match=r"calibration_data.*no batch"):
        simulate(model, iter([]))
    with pytest.raises(ValueError, match=r"Expected `data` to hold images"):
        simulate(model, networks.images(model)[:0])


def test_activations_that_are_not_finite_are_an_error():
    x = keras.Input((1,), name="image")
    model = keras.Model(x, keras.layers.Dense(1, use_bias=False, name="huge")(x))
    model.set_weights([np.float32([[3e38]])])
    with pytest.raises(ValueError, match=r"finite activations.*huge_range"):
        simulate(model, np.float32([[9]]))


@pytest.fixture(scope="module")
def easy() -> tuple[keras.Model, np.ndarray, np.ndarray]:
    """A network trained to tell bright upper from bright lower halves."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 256)
    images = rng.normal(size=(256, 8, 8, 1)).astype("f") * 0.3
    images[labels == 1, :4] += 1.0
    images[labels == 0, 4:] += 1.0
    model = kbnn.models.vgg_tiny((8, 8, 1), 2, 32, classifier_activation=None)
    model.compile(
        keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    model.fit(images, labels, epochs=5, verbose=0)
    return model, images, labels


def test_convert_with_calibration_data(tmp_path, easy):
    model, images, labels = easy
    path = tmp_path / "model.tflite"
    real = kbnn.converters.convert(model, path, verify_data=(images, labels)).report
    endless = tf.data.Dataset.from_tensor_slices(images).repeat().batch(32)
    report = kbnn.converters.convert(
        model, path, calibration_data=endless, int8="all", verify_data=(images, labels)
    ).report
    assert report.parity.int8
    assert report.parity.passed
    assert report.parity.class_agreement > 0.98
    assert report.parity.device_accuracy > 0.95
    assert 0 < report.parity.mean_relative_error < 0.2
    assert [layer.operator for layer in report.layers] == [layer.operator for layer in real.layers]
    assert [layer.output for layer in report.layers] == [
        "int8",
        "bit-packed",
        "bit-packed",
        "int8",
        "int8",
    ]
    assert report.predicted_bytes < real.predicted_bytes
    # kbnn verify knows an int8 file by itself.
    parity = kbnn.converters.verify(model, path, (images, labels), int8_agreement=0.5)
    assert (parity.int8, parity.passed) == (True, True)


def test_an_int8_file_that_agrees_too_little_is_refused(tmp_path, easy):
    model, images, _ = easy
    path = tmp_path / "model.tflite"
    path.write_bytes(b"old")
    wrong = images * 1e-3  # ranges a thousand times too small
    with pytest.raises(
        kbnn.converters.VerificationError, match=r"in int8; `int8_agreement` asks for 0\.95"
    ):
        kbnn.converters.convert(model, path, calibration_data=wrong, verify_data=images)
    assert path.read_bytes() == b"old"


def test_without_classes_the_outputs_count(tmp_path):
    x = keras.Input((12,), name="image")
    model = networks.randomised(keras.Model(x, keras.layers.Dense(1, name="number")(x)))
    images = networks.images(model, 64)
    path = tmp_path / "model.tflite"
    passed = kbnn.converters.convert(model, path, calibration_data=images, verify_data=images)
    assert passed.report.parity.class_agreement is None
    assert 0 < passed.report.parity.mean_relative_error < 0.05
    with pytest.raises(kbnn.converters.VerificationError, match=r"`int8_agreement` allows 0\.05"):
        kbnn.converters.convert(model, path, calibration_data=images * 0.01, verify_data=images)


IMAGES = {"calibration_data": np.zeros((1, 8, 8, 1), "f")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"int8_agreement": 95}, "Expected `int8_agreement` to be a number from 0 to 1. Received"),
        ({"int8_agreement": 0.9}, "Expected `int8_agreement` together with `calibration_data`"),
        ({"int8": "all"}, "Expected `int8` together with `calibration_data`"),
        ({"input_type": "int8"}, "Expected `input_type` together with `calibration_data`"),
        ({"int8": True}, "Expected `int8` to be one of 'layers', 'all'"),
        ({"output_type": "int16"}, "Expected `output_type` to be one of None, 'int8', 'uint8'"),
        ({"converter": "lce", **IMAGES}, 'Expected `int8="all"`.*LCE\'s converter has no other'),
        (
            {"converter": "lce", "int8": "all", "input_type": "int8", **IMAGES},
            "neither `input_type` nor",
        ),
        ({"calibration_data": np.zeros((2, 3), "f")}, "calibration_data: Expected `data` to fit"),
    ],
)
def test_bad_arguments_of_convert(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        kbnn.converters.convert(networks.small_chain(), tmp_path / "model.tflite", **arguments)


def sequence_classifier() -> keras.Model:
    x = keras.Input((8, 16), name="sequence")
    y = keras.layers.Dense(4)(keras.layers.LSTM(16, unroll=True)(x))
    return networks.randomised(keras.Model(x, y))


@pytest.mark.lce
def test_the_activation_inside_a_recurrent_layer_stays_inside(tmp_path):
    model = sequence_classifier()
    sequences = networks.images(model, 64)
    simulated, _, content = quantized(model, sequences)
    device = on_device(content, sequences, tmp_path)
    expected = model.predict(sequences, verbose=0)
    for outputs in (simulated(sequences).numpy(), device):
        assert np.abs(outputs - expected).max() < 0.05 * np.abs(expected).max()


def test_an_activation_before_batch_normalization_is_quantized():
    x = keras.Input((8, 8, 4), name="image")
    y = keras.layers.BatchNormalization()(keras.layers.Conv2D(8, 3, activation="relu")(x))
    y = keras.layers.Conv2D(8, 3, activation="relu")(y)
    model = networks.randomised(keras.Model(x, y))
    _, operators, _ = quantized(model, networks.images(model))
    types = [o.outputs[0].dtype.name for o in operators if o.name == "CONV_2D"]
    assert types == ["int8", "int8"]


def test_dense_layers_of_a_chain_stay_packed_too():
    model = kbnn.models.alexnet((57, 57, 3), 4, 6, hidden_units=32)
    _, operators, _ = quantized(networks.randomised(model), networks.images(model, 4))
    *inner, last = [o.outputs[0].dtype.name for o in operators if o.name == "LceBconv2d"]
    assert set(inner) == {"int32"}
    assert last == "int8"
    assert not real_valued(operators)


def test_a_global_mixed_precision_policy_does_not_matter():
    model = networks.small_chain()
    images = networks.images(model)
    expected = ranges(simulate(model, images))
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        found = ranges(simulate(model, images))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert found == expected
