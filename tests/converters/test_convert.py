"""The whole path on LCE's own converter and interpreter, and each way in which it can fail."""

import functools
import json
from collections import Counter

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from rich.console import Console

from kbnn import converters
from kbnn.converters import (
    ConversionError,
    VerificationError,
    comparison,
    convert,
    device_file,
    device_model,
    layer_report,
    linted_model,
    samples,
)
from kbnn.converters.writer import write
from tests.converters.networks import (
    BINARY,
    SHAPE,
    chain,
    images,
    one_layer,
    randomised,
    small_chain,
)

SAME_ONE = {"padding": "same", "pad_values": 1.0}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.tflite"


def rows(result):
    return {layer.layer: layer for layer in result.report.layers}


def converted(model, path, count=16, **arguments):
    """Convert with verification on random images that the model itself labels."""
    x = images(model, count)
    labels = model.predict(x).reshape(count, -1).argmax(axis=1)
    return convert(model, path, verify_data=(x, labels), **arguments)


def test_a_chain_is_packed_throughout(plain_chain):
    report = plain_chain.report
    layers = rows(plain_chain)
    assert [layer.operator for layer in layers.values()] == [
        *("CONV_2D", "LceBconv2d", "LceBconv2d", "LceBconv2d", "FULLY_CONNECTED")
    ]
    assert [layers[f"conv_{i}"].output for i in (1, 2, 3)] == [
        *("bit-packed", "bit-packed", "float32")
    ]
    assert layers["conv_1"].macs == 14 * 14 * 9 * 32 * 64
    assert layers["conv_1"].bytes == 9 * 32 * 64 // 8 + 64 * 4
    assert report.binary_ops == 3
    assert report.float_ops == 2
    parity = report.parity
    assert parity.passed
    assert parity.chain
    assert parity.samples == 64
    assert parity.class_agreement == parity.keras_accuracy == parity.device_accuracy == 1.0
    assert parity.max_difference_off_ties < 1e-3
    assert report.file_bytes == plain_chain.path.stat().st_size
    assert report.predicted_bytes == pytest.approx(report.file_bytes, rel=0.15)


def test_uint8_images_are_rescaled_inside(path):
    model = small_chain(preprocessing=keras.layers.Rescaling(1 / 127.5, offset=-1))
    result = converted(model, path)
    assert converters.inspect(path).inputs[0].dtype == np.uint8
    assert result.report.parity.class_agreement == 1.0


def test_a_residual_network(plain_residual):
    report = plain_residual.report
    assert report.binary_ops == 2
    assert not report.parity.chain
    assert report.parity.class_agreement >= 0.999
    assert "not bit-packed" in rows(plain_residual)["conv_0"].note


def test_a_nested_model_with_a_block_used_twice(plain_nested):
    assert plain_nested.report.operators["LceBconv2d"] == 2
    assert rows(plain_nested)["inner_conv"].binary
    assert plain_nested.report.parity.passed


def test_zero_padding_runs_binary_with_a_note(path):
    x = keras.Input(SHAPE, name="image")
    y = lq.layers.QuantConv2D(64, 3, padding="same", name="conv", **BINARY)(x)
    model = randomised(keras.Model(x, lq.layers.QuantConv2D(8, 1, name="last", **BINARY)(y)))
    row = rows(converted(model, path))["conv"]
    assert row.binary
    assert row.output == "float32"
    assert "pad_values=1.0" in row.note


def test_binary_inputs_with_real_weights_run_in_floats_with_a_note(path):
    model = one_layer(lq.layers.QuantConv2D(64, 3, input_quantizer="ste_sign", name="conv"))
    row = rows(converted(model, path))["conv"]
    assert row.operator == "CONV_2D"
    assert row.note == "binary inputs but real-valued weights, so not binary on the device"


def test_binary_weights_with_real_inputs_run_in_floats_with_a_note(path):
    layer = lq.layers.QuantConv2D(
        64, 3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip", name="conv"
    )
    row = rows(converted(one_layer(layer), path))["conv"]
    assert row.operator == "CONV_2D"
    assert row.note.startswith("binary weights but real-valued inputs")


@pytest.mark.parametrize("units", [10, 64])
def test_dense_layers_become_binary_convolutions(path, units):
    x = keras.Input((100,), name="features")
    y = lq.layers.QuantDense(64, name="hidden", **BINARY)(x)
    y = keras.layers.BatchNormalization()(y)
    y = lq.layers.QuantDense(units, name="last", activation="softmax", **BINARY)(y)
    result = converted(randomised(keras.Model(x, y)), path)
    assert rows(result)["hidden"].binary
    assert rows(result)["last"].binary
    assert result.report.operators["LceBconv2d"] == 2
    assert result.report.parity.passed


@pytest.mark.parametrize("quantizer", ["ste_sign", "magnitude_aware_sign"])
@pytest.mark.parametrize("channels", [3, 31, 33])
def test_odd_channel_counts_and_scaled_kernels(path, quantizer, channels):
    layer = lq.layers.QuantConv2D(
        5, 3, **SAME_ONE, name="conv", **{**BINARY, "kernel_quantizer": quantizer}
    )
    result = converted(one_layer(layer, (6, 6, channels)), path)
    assert rows(result)["conv"].binary
    assert result.report.parity.passed


@pytest.mark.parametrize(
    ("size", "kernel", "strides", "padding"),
    [
        (8, 3, 2, 1),
        (9, 3, 2, 1),
        (8, 7, 2, 3),
        (8, 5, 2, 2),
        (9, 3, 3, 1),
        (8, 3, 2, ((2, 1), (0, 3))),
    ],
)
def test_padding_before_a_strided_convolution_is_converted_rightly(
    path, size, kernel, strides, padding
):
    """Without kbnn, LCE 0.16 is off by more than the largest output in four of these six cases."""
    x = keras.Input((size, size, 4), name="image")
    y = keras.layers.ZeroPadding2D(padding)(x)
    y = keras.layers.Conv2D(8, kernel, strides=strides)(y)
    result = converted(randomised(keras.Model(x, y)), path)
    assert result.report.parity.max_difference < 1e-4


@pytest.mark.lce
def test_lces_converter_is_not_given_padding_that_it_mistakes(path):
    x = keras.Input((8, 8, 4), name="image")
    padded = keras.layers.ZeroPadding2D(1, name="pad")(x)
    y = keras.layers.Conv2D(8, 3, strides=2, name="a")(padded)
    model = keras.Model(x, [y, keras.layers.Conv2D(8, 3, name="b")(padded)])
    with pytest.raises(ValueError, match=r"'pad' to be used by one strided.*'a', 'b'"):
        convert(model, path, converter="lce")
    assert convert(randomised(model), path, verify_data=images(model)).report.parity.passed
    y = keras.layers.Conv2D(8, 3, strides=2, name="conv")(
        tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
    )
    model = keras.Model(x, y)
    with pytest.raises(ValueError, match=r"strided layer 'conv'. Received: a tf.pad operation"):
        convert(model, path, converter="lce")
    assert converted(randomised(model), path).report.parity.passed


def test_binary_layers_without_an_operator_are_refused_by_name(path):
    x = keras.Input(SHAPE, name="image")
    y = lq.layers.QuantDepthwiseConv2D(
        3,
        input_quantizer="ste_sign",
        depthwise_quantizer="ste_sign",
        depthwise_constraint="weight_clip",
        name="depthwise",
    )(x)
    y = lq.layers.QuantConv2D(32, 3, groups=2, name="grouped", **BINARY)(y)
    model = randomised(keras.Model(x, y))
    with pytest.raises(ConversionError) as refused:
        convert(model, path)
    message = str(refused.value)
    assert "'depthwise' (QuantDepthwiseConv2D): Larq Compute Engine (LCE) has binary" in message
    assert "'grouped' (QuantConv2D): LCE needs a multiple of 32 input channels" in message
    assert not path.exists()
    result = converted(model, path, allow_float=["depthwise", "grouped"])
    assert result.report.parity.passed
    assert rows(result)["depthwise"].operator == "DEPTHWISE_CONV_2D"
    with pytest.raises(ValueError, match=r"`allow_float` to name layers.*Received: \['absent'\]"):
        convert(model, path, allow_float=["absent"])


def test_grouped_convolutions_of_32_channels_run(path):
    model = one_layer(lq.layers.QuantConv2D(64, 3, groups=2, name="conv", **BINARY), (8, 8, 64))
    result = converted(model, path)
    assert rows(result)["conv"].binary
    assert result.report.parity.passed


def test_a_failed_conversion_leaves_the_old_file_and_nothing_else(path):
    path.write_bytes(b"the old file")
    model = chain()
    x = images(model)
    model.get_layer("conv_2").kernel.latent_variable.assign(np.full((3, 3, 64, 64), np.nan))
    with pytest.raises(ValueError, match="conv_2"):
        convert(model, path)
    with pytest.raises(ValueError, match=r"Expected `data` to fit.* 28, 28, 1\).* 28, 27, 1\)"):
        convert(chain(), path, verify_data=x[:, :, 1:])
    with pytest.raises(ValueError, match=r"float32 of shape.*Received: data with uint8"):
        convert(chain(), path, verify_data=x.astype(np.uint8))
    assert path.read_bytes() == b"the old file"
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.fixture(scope="module")
def wrong():
    """The content of a file with other weights."""
    return write.write_lce(device_model.DeviceModel(randomised(small_chain(), seed=5)).graph)


def test_a_file_that_does_something_else_is_not_written(path, monkeypatch, wrong):
    monkeypatch.setattr(write, "write_lce", lambda graph, **_: wrong)
    monkeypatch.setattr(
        "kbnn.converters.layer_report._holds_filters",
        lambda operator, kernel: (
            operator.name == "LceBconv2d" and operator.inputs[1].shape[0] == kernel.shape[-1]
        ),
    )
    with pytest.raises(VerificationError, match="without a tie that explains it") as failed:
        converted(small_chain(), path)
    assert not failed.value.parity.passed
    assert failed.value.parity.above_tolerance == 16
    assert list(path.parent.iterdir()) == []


def test_a_file_with_other_filters_is_noticed_without_data(path, monkeypatch, wrong):
    monkeypatch.setattr(write, "write_lce", lambda graph, **_: wrong)
    with pytest.raises(ConversionError, match="left 'conv_1', 'conv_2', 'conv_3' real-valued"):
        convert(small_chain(), path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"existing folder. Received: path=.*absent"):
        convert(chain(), tmp_path / "absent" / "model.tflite")


def test_the_report_in_json_and_as_a_table(plain_chain):
    report, path = plain_chain.report, plain_chain.path
    assert json.loads(json.dumps(report.to_dict()))["layers"][1]["operator"] == "LceBconv2d"
    assert "LceBconv2d" in str(report)
    console = Console(width=120)
    with console.capture() as capture:
        console.print(converters.inspect(path))
    assert "LceBMaxPool2d" in capture.get()
    assert json.loads(json.dumps(converters.inspect(path).to_dict()))["file_bytes"] > 0


@keras.utils.register_keras_serializable("test")
class HalfwaySign(lq.quantizers.Quantizer):
    """A quantizer whose `frozen_quantizer` is wrong."""

    precision = 1

    def call(self, inputs):
        return tf.where(inputs >= 0.5, 1.0, -1.0)

    def frozen_quantizer(self):
        return lq.quantizers.SteSign()


def test_a_wrong_freeze_is_no_tie(path):
    with pytest.raises(VerificationError, match="the frozen model differs from the trained one"):
        converted(small_chain(input_quantizer=HalfwaySign()), path)
    assert not path.exists()


@pytest.mark.parametrize("name", ["model.keras", "folder.tflite", "", "model"])
def test_only_tflite_files_are_written(tmp_path, name):
    (tmp_path / "folder.tflite").mkdir()
    (tmp_path / "model.keras").write_text("the trained model")
    with pytest.raises(
        ValueError, match=r"Expected `path` to be a new or existing file that ends in \.tflite"
    ):
        convert(chain(), tmp_path / name)
    assert (tmp_path / "model.keras").read_text() == "the trained model"


def test_permissions_are_those_of_a_new_file_or_of_the_old_one_and_links_stay(path):
    model = one_layer(keras.layers.Dense(3), shape=(4,))
    convert(model, path)
    (path.parent / "new").touch()
    assert path.stat().st_mode == (path.parent / "new").stat().st_mode
    path.chmod(0o640)
    path.write_bytes(b"the old file")
    link = path.with_name("link.tflite")
    link.symlink_to(path)
    convert(model, link)
    assert link.is_symlink()
    assert path.read_bytes() != b"the old file"
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_string_for_allow_float_and_labels_that_do_not_fit(path):
    with pytest.raises(ValueError, match="`allow_float` to be a list of names"):
        convert(chain(), path, allow_float="conv_1")
    model = chain()
    with pytest.raises(ValueError, match="16 images and 3 labels"):
        convert(model, path, verify_data=(images(model), np.zeros(3, int)))


def test_everything_is_worked_out_once(path, monkeypatch):
    """`convert` hands on what it has computed: nothing is computed twice for the same thing."""
    seen = []

    def count(name, function, *given, **named):
        seen.append((name, given[0]))
        return function(*given, **named)

    counted = {
        device_model: ["freeze", "device_graph", "in_float32"],
        linted_model: ["lint_layer", "calls_of"],
        comparison: ["calls_of"],
        device_file.flatbuffer: ["read"],
        samples: ["_check_batch"],
        layer_report: ["_match_operators"],
    }
    for module, names in counted.items():
        for name in names:
            counting = functools.partial(count, name, getattr(module, name))
            monkeypatch.setattr(module, name, counting)
    model = small_chain()
    x = images(model, 8)
    convert(model, path, verify_data=x, calibration_data=x, int8_agreement=0.0)
    names = Counter(name for name, _ in seen)
    assert names == {
        **{"freeze": 1, "device_graph": 1, "in_float32": 1, "read": 1, "_match_operators": 1},
        # The training images and the test images.
        "_check_batch": 2,
        # The trained, the frozen and the device model, and two on the way to int8; no layer twice.
        "calls_of": 5,
        "lint_layer": names["lint_layer"],
    }
    layers = [id(layer) for name, layer in seen if name == "lint_layer"]
    models = [id(model) for name, model in seen if name == "calls_of"]
    assert len(layers) == len(set(layers)) <= 4 * 5
    assert len(models) == len(set(models))
