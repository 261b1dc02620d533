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


def padded(then):
    """A zero-padded convolution, whose output `then` takes, and another convolution."""
    x = keras.Input(SHAPE, name="image")
    y = layers.BatchNormalization()(convolution(padding="same")(x))
    return keras.Model(x, lq.layers.QuantConv2D(8, 1, name="last", **BINARY)(then(x, y)))


@pytest.mark.parametrize(
    "then", [lambda x, y: y, lambda x, y: layers.MaxPooling2D()(y), lambda x, y: layers.ReLU()(y)]
)
def test_zero_padding_is_noted_where_it_keeps_bits_from_being_packed(then):
    assert "zero padding" in lint(padded(then))[0].note


@pytest.mark.parametrize(
    "then",
    [
        lambda x, y: layers.Add()([x, y]),
        lambda x, y: layers.Concatenate()([x, y]),
        lambda x, y: layers.Concatenate()([x, layers.MaxPooling2D(1)(layers.ReLU()(y))]),
        lambda x, y: layers.Conv2D(32, 3)(y),
        lambda x, y: layers.Add()([y, layers.PReLU()(y)]),
    ],
    ids=["sum", "concatenation", "later concatenation", "real layer", "shortcut"],
)
def test_zero_padding_is_not_noted_where_the_output_is_real_anyway(then):
    assert lint(padded(then))[0].note == ""


def test_zero_padding_of_the_last_layer_is_not_noted():
    assert lint(one_layer(convolution(padding="same")))[0].note == ""


LAYERS_WITHOUT_OPERATOR = {
    "depthwise": (
        lambda **options: lq.layers.QuantDepthwiseConv2D(
            3, depthwise_quantizer="ste_sign", **options
        ),
        SHAPE,
        "QuantConv2D with groups of 32 channels",
    ),
    "separable": (
        lambda **options: lq.layers.QuantSeparableConv2D(
            8, 3, depthwise_quantizer="ste_sign", pointwise_quantizer="ste_sign", **options
        ),
        SHAPE,
        "QuantConv2D with a 1x1 kernel",
    ),
    "1-D": (
        lambda **options: lq.layers.QuantConv1D(8, 3, kernel_quantizer="ste_sign", **options),
        (16, 32),
        "images of height 1",
    ),
    "transposed": (
        lambda **options: lq.layers.QuantConv2DTranspose(
            8, 3, kernel_quantizer="ste_sign", **options
        ),
        SHAPE,
        "UpSampling2D and QuantConv2D",
    ),
}


@pytest.mark.parametrize("kind", LAYERS_WITHOUT_OPERATOR)
def test_layers_without_an_operator_say_why_and_what_to_use(kind):
    make, shape, way_on = LAYERS_WITHOUT_OPERATOR[kind]
    (binary,) = lint(one_layer(make(input_quantizer="ste_sign"), shape))
    assert not binary.binary
    assert "only for 2-D convolutions and dense layers" in binary.problem
    assert way_on in binary.problem
    (real,) = lint(one_layer(make(), shape))
    assert real.problem == ""
    assert "real-valued inputs" in real.note
    assert way_on in real.note


def test_the_way_on_from_a_1_d_layer_runs_binary_and_computes_the_same(path):
    x = keras.Input((16, 32), name="sequence")
    layer = lq.layers.QuantConv1D(8, 3, name="conv", **BINARY)
    expected = randomised(keras.Model(x, layer(x)))
    y = layers.Reshape((1, 16, 32))(x)
    y = lq.layers.QuantConv2D(8, (1, 3), name="conv", **BINARY)(y)
    model = keras.Model(x, layers.Reshape((14, 8))(y))
    kernel, bias = expected.get_layer("conv").get_weights()
    model.get_layer("conv").set_weights([kernel[None], bias])
    data = images(model)
    np.testing.assert_array_equal(model.predict(data), expected.predict(data))
    check_binary(model, path, verify_data=data)
