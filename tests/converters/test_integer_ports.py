"""Inputs and outputs that are int8 or uint8 in the file and real-valued in the model."""

import json

import larq as lq
import numpy as np
import pytest
import tf_keras as keras

from kbnn.converters import ConversionError, convert, flatbuffer, latency, verify, write_sidecar
from tests.converters import networks
from tests.converters.networks import images, randomised

kbnn_runtime = pytest.importorskip("kbnn_runtime")

INTEGERS = ("int8", "uint8")


def convert_with_ports(model: keras.Model, folder, **options):
    x = images(model, 64)
    return convert(
        *(model, folder / "model.tflite"),
        calibration_data=x,
        verify_data=x,
        int8_agreement=0.5,
        **options,
    )


@pytest.mark.parametrize(("dtype", "form"), [("int8", "layers"), ("uint8", "all")])
def test_the_file_gives_what_the_file_with_real_values_gives(dtype, form, tmp_path):
    model = networks.residual()
    x = images(model, 16)
    real = convert_with_ports(model, tmp_path, int8=form)
    expected = kbnn_runtime.Interpreter(real.path).predict(x)
    result = convert_with_ports(model, tmp_path, int8=form, input_type=dtype, output_type=dtype)
    assert result.report.parity == real.report.parity
    interpreter = kbnn_runtime.Interpreter(result.path)
    (before,), (after,) = interpreter.inputs, interpreter.outputs
    assert (before.name, before.dtype.name) == ("image", dtype)
    assert (after.name, after.dtype.name) == (model.output_names[0], dtype)
    limits = np.iinfo(dtype)
    stored = np.rint(x / before.scale) + before.zero_point
    found = interpreter.predict(np.clip(stored, limits.min, limits.max).astype(dtype))
    np.testing.assert_allclose(after.dequantize(found), expected, rtol=0, atol=1e-5)
    conversions = result.report.operators
    changed = {name: conversions.get(name, 0) - real.report.operators[name] for name in CONVERSIONS}
    # int8 needs no conversion at the ports; uint8 needs one from and one to int8.
    assert changed == dict(zip(CONVERSIONS, (-1, -1) if dtype == "int8" else (1, -1), strict=True))


CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")


def test_input_and_output_are_chosen_separately(tmp_path):
    model = networks.residual()
    for name in ("input_type", "output_type"):
        path = convert_with_ports(model, tmp_path, **{name: "int8"}).path
        graph = flatbuffer.read(path.read_bytes())
        found = {"input_type": graph.inputs[0], "output_type": graph.outputs[0]}
        assert found.pop(name).dtype == np.int8
        (other,) = found.values()
        assert (other.dtype, other.scale) == (np.float32, None)


def no_int8_layer_at_the_ports() -> keras.Model:
    """A binary layer takes the image, and a softmax and a sum give the outputs."""
    x = image = keras.Input((8, 8, 32), name="image")
    y = keras.layers.BatchNormalization()(keras.layers.Conv2D(32, 1)(x))
    y = keras.layers.Add(name="sum")([keras.layers.AveragePooling2D()(x), y[:, ::2, ::2]])
    z = keras.layers.Dense(4, activation="softmax", name="classes")(keras.layers.Flatten()(y))
    return randomised(keras.Model(image, [z, y]))


def test_ports_of_float_operators_are_rounded_too(tmp_path):
    model = no_int8_layer_at_the_ports()
    result = convert_with_ports(model, tmp_path, input_type="uint8", output_type="int8")
    graph = flatbuffer.read(result.path.read_bytes())
    assert [port.dtype.name for port in graph.inputs] == ["uint8"]
    assert [port.dtype.name for port in graph.outputs] == ["int8", "int8"]
    assert result.report.parity.mean_relative_error < 0.05
    assert verify(model, result.path, images(model), int8_agreement=0.5).passed


def test_several_inputs(tmp_path):
    a, b = (keras.Input((4, 4, 8), name=name) for name in "ab")
    y = keras.layers.Concatenate()([keras.layers.Conv2D(8, 1)(a), b])
    model = randomised(keras.Model([a, b], keras.layers.Conv2D(4, 3)(y)))
    x = [np.random.default_rng(i).normal(i, 1 + i, (32, 4, 4, 8)).astype("f") for i in range(2)]
    options = {"calibration_data": (x,), "verify_data": (x,), "int8_agreement": 0.9}
    result = convert(model, tmp_path / "model.tflite", input_type="int8", **options)
    scales = [port.scale for port in flatbuffer.read(result.path.read_bytes()).inputs]
    assert len(set(scales)) == 2
    assert result.report.parity.passed


def test_a_file_that_rounds_no_output_is_refused(tmp_path):
    x = keras.Input((8,), name="image")
    model = randomised(keras.Model(x, lq.quantizers.SteSign()(keras.layers.Dense(4)(x))))
    received = r"output.*`output_type`.*Received: one that LceDequantize gives"
    with pytest.raises(ConversionError, match=received):
        convert_with_ports(model, tmp_path, int8="all", output_type="int8")
    assert not list(tmp_path.iterdir())
    convert_with_ports(model, tmp_path, output_type="int8")


def test_an_input_of_bytes_stays_one(tmp_path):
    model = networks.small_chain(preprocessing=keras.layers.Rescaling(1 / 255))
    with pytest.raises(ValueError, match=r"real values there.*input_type='int8' for uint8"):
        convert_with_ports(model, tmp_path, input_type="int8")


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize(
    ("scale", "offset"), [(1 / 127.5, -1.0), ([0.01, 0.02, 0.01], [0.0, -1.0, -0.5])]
)
def test_the_runtime_classifies_images_by_the_sidecar(dtype, scale, offset, tmp_path):
    model = networks.residual()
    pixels = np.random.default_rng(0).integers(0, 256, (32, 16, 16, 3), np.uint8)
    x = (pixels * np.float32(scale) + np.float32(offset)).astype("f")
    path = tmp_path / "model.tflite"
    options = {"calibration_data": x, "input_type": dtype, "output_type": dtype}
    convert(model, path, **options)
    write_sidecar(path, model, scale=scale, offset=offset)
    written = json.loads((tmp_path / "model.json").read_text())
    assert (written["preprocessing"]["dtype"], written["scores"]) == (dtype, "logits")
    found = [best.index for (best,) in kbnn_runtime.Interpreter(path).classify(pixels, top=1)]
    assert np.mean(found == model.predict(x, verbose=0).argmax(axis=1)) > 0.8


@pytest.mark.parametrize(
    "interpreter", ["kbnn-runtime", pytest.param("lce", marks=pytest.mark.lce)]
)
def test_verify_and_latency_run_the_file(interpreter, tmp_path):
    model = networks.residual()
    path = convert_with_ports(model, tmp_path, input_type="int8", output_type="uint8").path
    x = images(model, 16)
    assert verify(model, path, x, int8_agreement=0.5, interpreter=interpreter).passed
    (row,) = latency(path, interpreter=interpreter, runs=5)
    assert row.median > 0
