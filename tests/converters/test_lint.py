"""Lint says what LCE's converter does, and convert refuses nothing without a reason."""

import larq as lq
import numpy as np
import pytest
import tf_keras as keras

from kbnn.converters import ConversionError, convert, lint
from tests.converters.networks import BINARY, SHAPE, images, one_layer, randomised

layers = keras.layers


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.tflite"


def convolution(kernel_size=3, **arguments):
    return lq.layers.QuantConv2D(32, kernel_size, name="conv", **{**BINARY, **arguments})


def check_binary(model, path, **arguments):
    """Assert that every layer is binary for lint and in the file; return results and rows."""
    rows = convert(model, path, **arguments).report.layers
    results = lint(model)
    assert all(result.binary for result in results)
    assert all(row.binary for row in rows)
    return results, rows


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("sign_before", [False, True])
def test_padding_with_minus_one_runs_binary(path, strides, sign_before):
    x = keras.Input(SHAPE, name="image")
    y = lq.quantizers.SteSign()(x) if sign_before else x
    quantizer = None if sign_before else "ste_sign"
    layer = convolution(padding="same", pad_values=-1.0, strides=strides, input_quantizer=quantizer)
    model = randomised(keras.Model(x, layer(y)))
    results, _ = check_binary(model, path, verify_data=images(model))
    assert "kbnn pads with -1 in floats before the sign" in results[0].note


def test_a_shared_layer_padded_with_minus_one(path):
    layer = convolution(padding="same", pad_values=-1.0)
    x = keras.Input(SHAPE, name="image")
    model = randomised(keras.Model(x, layer(layers.AveragePooling2D()(layer(x)))))
    check_binary(model, path, verify_data=images(model))


def test_other_pad_values_are_refused_with_the_reason(path):
    model = one_layer(convolution(padding="same", pad_values=0.5))
    with pytest.raises(
        ConversionError, match=r"'conv' \(QuantConv2D\): LCE can pad with 0 or 1 only, and"
    ):
        convert(model, path)
    assert convert(model, path, allow_float=["conv"]).report.binary_ops == 0


@pytest.mark.parametrize("pad_values", [0.0, 0.5, -1.0])
@pytest.mark.parametrize(("kernel_size", "strides"), [(1, 1), (1, 2), (2, 2)])
def test_a_padding_of_nothing_does_no_harm(path, pad_values, kernel_size, strides):
    x = keras.Input(SHAPE, name="image")
    first = convolution(
        kernel_size=kernel_size, strides=strides, padding="same", pad_values=pad_values
    )
    last = lq.layers.QuantConv2D(8, 1, name="last", **BINARY)
    model = randomised(keras.Model(x, last(first(x))))
    results, rows = check_binary(model, path, verify_data=images(model))
    assert rows[0].output == "bit-packed"
    assert results[0].note == ""


@pytest.mark.parametrize("pad_values", [1.0, -1.0])
def test_padding_an_image_of_unknown_size_is_refused_with_the_reason(path, pad_values):
    model = one_layer(convolution(padding="same", pad_values=pad_values), (None, None, 32))
    with pytest.raises(
        ConversionError, match=r"needs images of a fixed size, and this layer has input shape \(N"
    ):
        convert(model, path)


@pytest.mark.parametrize(
    "arguments", [{}, {"padding": "same"}, {"padding": "same", "pad_values": 1, "kernel_size": 1}]
)
def test_images_of_unknown_size_run_binary_without_padding(path, arguments):
    check_binary(one_layer(convolution(**arguments), (None, None, 32)), path)


def test_a_file_of_unknown_size_cannot_be_verified(path):
    model = one_layer(convolution(), (None, None, 32))
    with pytest.raises(ValueError, match=r"Expected inputs of fixed sizes.*\(None, None, 32\)"):
        convert(model, path, verify_data=np.zeros((2, 8, 8, 32), "f"))
    assert not path.exists()


@pytest.mark.parametrize("shape", [(40,), (7, 40), (4, 5, 40), (2, 3, 4, 40)])
def test_dense_layers_of_any_rank_run_binary(path, shape):
    model = one_layer(lq.layers.QuantDense(16, activation="softmax", **BINARY), shape)
    check_binary(model, path, verify_data=images(model))


@pytest.mark.parametrize("shape", [(None, 40), (None, None, 40), (2, None, 3, 40)])
def test_dense_layers_on_an_unknown_size_run_binary(path, shape):
    check_binary(one_layer(lq.layers.QuantDense(16, **BINARY), shape), path)


def test_a_dense_layer_shared_by_sequences_of_two_lengths(path):
    layer = lq.layers.QuantDense(16, **BINARY)
    x = keras.Input((8, 40), name="sequence")
    model = randomised(keras.Model(x, [layer(x), layer(layers.AveragePooling1D(2)(x))]))
    check_binary(model, path, verify_data=images(model))


def test_a_dense_layer_on_two_unknown_sizes_is_refused_with_the_reason(path):
    model = one_layer(lq.layers.QuantDense(16, name="dense", **BINARY), (None, None, 3, 40))
    with pytest.raises(
        ConversionError, match=r"'dense'.*at most one unknown size, here input shape"
    ):
        convert(model, path)


@pytest.mark.parametrize(
    "through",
    [layers.MaxPooling2D(), layers.Permute((2, 1, 3)), layers.Reshape((4, 16, 32))],
    ids=lambda layer: type(layer).__name__,
)
def test_signs_through_another_layer(path, through):
    x = keras.Input(SHAPE, name="image")
    y = convolution(input_quantizer=None)(through(lq.quantizers.SteSign()(x)))
    model = randomised(keras.Model(x, y))
    check_binary(model, path, verify_data=images(model))


def test_lint_lists_layers_with_weights_inside():
    x = keras.Input((16, 8))
    y = layers.LSTM(4, name="lstm")(layers.MultiHeadAttention(2, 4, name="attention")(x, x))
    results = lint(keras.Model(x, layers.LayerNormalization()(y)))
    assert [(v.layer, v.binary, v.note) for v in results] == [
        ("attention", False, "real-valued layer"),
        ("lstm", False, "real-valued layer"),
    ]


def test_zero_padding_is_noted_where_it_pads():
    model = one_layer(convolution(padding="same"))
    assert "zero padding" in lint(model)[0].note
