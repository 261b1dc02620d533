"""What the report says of each layer, held against the file that LCE's converter wrote."""

import larq as lq
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from kbnn import converters
from kbnn.converters import convert, lint_rules
from kbnn.graph.calls import calls_of
from tests.converters.networks import BINARY, SHAPE, nested, one_layer, randomised

layers = keras.layers


@keras.utils.register_keras_serializable("test")
class ShiftedSign(lq.quantizers.Quantizer):
    """A sign of the user's own, which LCE's converter recognises."""

    precision = 1

    def call(self, inputs):
        return tf.where(inputs >= 0.5, 1.0, -1.0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.tflite"


def binary(name, filters=32, **arguments):
    return lq.layers.QuantConv2D(filters, 3, name=name, use_bias=False, **{**BINARY, **arguments})


def dense_behind(y):
    return lq.layers.QuantDense(4, **BINARY)(y)


def model_of(function, shape=SHAPE):
    x = keras.Input(shape, name="image")
    return randomised(keras.Model(x, function(x)))


def rows(model, path):
    return {row.layer: row for row in convert(model, path).report.layers}


def attention(blocks=1, size=64, heads=4):
    x = tokens = keras.Input((16, size), name="tokens")
    for i in range(blocks):
        y = layers.MultiHeadAttention(heads, size // heads, name=f"attention_{i}")(x, x)
        x = layers.LayerNormalization()(layers.Add()([x, y]))
        y = layers.Dense(size)(layers.Dense(4 * size, activation="relu")(x))
        x = layers.LayerNormalization()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling1D()(x)
    return randomised(keras.Model(tokens, layers.Dense(10, name="logits")(x)))


def test_layers_with_weights_inside_are_listed_with_their_bytes(path):
    report = convert(attention(), path).report
    row = {row.layer: row for row in report.layers}["attention_0"]
    assert row.kind == "MultiHeadAttention"
    assert row.operator == "4 x FULLY_CONNECTED"
    assert row.bytes == 4 * 4 * (64 * 64 + 64)
    assert row.macs is None
    assert not row.binary
    assert row.note == "real-valued layer"
    assert [row.layer for row in report.layers][-1] == "logits"
    assert "?" in str(report)


def test_einsum_and_recurrent_layers_are_listed(path):
    def function(x):
        y = layers.EinsumDense("abc,cde->abde", (None, 4, 8), name="einsum")(x)
        y = layers.Reshape((5, 32))(y)
        return layers.LSTM(16, unroll=True, name="lstm")(y)

    found = rows(model_of(function, (5, 24)), path)
    assert found["einsum"].operator == "FULLY_CONNECTED"
    assert found["einsum"].macs == 5 * 24 * 4 * 8
    assert found["einsum"].bytes == 4 * 24 * 32
    # One product with all inputs a step, and one with the state in each step but the first.
    assert found["lstm"].operator == "9 x FULLY_CONNECTED"
    assert found["lstm"].macs is None
    assert found["lstm"].bytes >= 4 * (32 * 64 + 16 * 64)


def test_layers_without_products_are_not_listed(path):
    def function(x):
        y = layers.Embedding(50, 16)(x)
        return layers.PReLU()(layers.LayerNormalization()(y))

    assert convert(model_of(function, (8,)), path).report.layers == []


def test_layers_of_equal_shape_are_told_apart_by_their_weights(path):
    """The branch that the file computes first is not the first of the model."""
    x = keras.Input((16,), name="x")
    first, second = layers.Dense(16, name="first"), layers.Dense(16, use_bias=False, name="second")
    model = randomised(keras.Model(x, layers.Concatenate()([first(second(x)), x])))
    found = rows(model, path)
    assert found["first"].bytes == 4 * (16 * 16 + 16)
    assert found["second"].bytes == 4 * 16 * 16


def test_a_block_used_twice_counts_twice(plain_nested):
    (row,) = [row for row in plain_nested.report.layers if row.layer == "inner_conv"]
    assert row.operator == "2 x LceBconv2d"
    assert row.binary
    assert row.macs == 2 * 8 * 8 * 9 * 32 * 32
    # Filters twice, the thresholds of the packed use, scale and bias of the other one.
    assert row.bytes == 2 * 9 * 32 * 32 // 8 + 3 * 32 * 4


def test_a_shared_layer_counts_each_use_and_says_which_are_packed(path):
    shared = binary("shared")

    def function(x):
        y = layers.BatchNormalization()(shared(x))
        return layers.GlobalAveragePooling2D(name="mean")(shared(y))

    row = rows(model_of(function), path)["shared"]
    assert row.operator == "2 x LceBconv2d"
    assert row.output == "bit-packed, float32"
    assert row.macs == (6 * 6 + 4 * 4) * 9 * 32 * 32
    assert "'mean' (GlobalAveragePooling2D)" in row.note


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (layers.Conv2D(8, 3, strides=2), (9, 9, 4), 4 * 4 * 9 * 4 * 8),
        (layers.Conv2D(8, 3, groups=2), (8, 8, 4), 6 * 6 * 9 * 2 * 8),
        (layers.Conv2DTranspose(8, 3, strides=2), (5, 5, 4), 5 * 5 * 9 * 4 * 8),
        (layers.DepthwiseConv2D(3), (8, 8, 4), 6 * 6 * 9 * 4),
        (layers.SeparableConv2D(8, 3), (8, 8, 4), 6 * 6 * (9 * 4 + 4 * 8)),
        (layers.Conv1D(8, 3), (8, 4), 6 * 3 * 4 * 8),
        (layers.Dense(8), (7, 4), 7 * 4 * 8),
        (layers.Conv2D(8, 3), (None, None, 4), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_multiply_accumulates(layer, shape, macs):
    model = model_of(layer, shape)
    calls = calls_of(model)
    assert converters.macs.macs_of(calls) == macs


def test_a_sign_of_the_users_own_is_shown_as_what_it_became(path):
    model = one_layer(binary("conv", input_quantizer=ShiftedSign()))
    verdict = converters.lint(model)[0]
    assert verdict.binary
    assert verdict.note == lint_rules.OWN_SIGN
    row = rows(model, path)["conv"]
    assert row.operator == "LceBconv2d"
    assert row.binary
    assert "floats" not in row.note


def test_a_dense_layer_keeps_its_class(path):
    row = rows(one_layer(lq.layers.QuantDense(8, name="dense", **BINARY), (40,)), path)["dense"]
    assert (row.kind, row.operator) == ("QuantDense", "LceBconv2d")
    assert row.macs == 40 * 8


def next_layer(y, **arguments):
    return binary("next", **arguments)(y)


def pooled_first(y):
    y = layers.BatchNormalization(name="norm")(layers.MaxPooling2D(name="pool")(y))
    return next_layer(y)


def shortcut(y):
    other = layers.DepthwiseConv2D(1, name="other")(y)
    return next_layer(layers.Add(name="add")([layers.ReLU()(y), other]))


CAUSES = {
    "pooling before batch normalization": (
        pooled_first,
        "'pool' (MaxPooling2D) comes before 'norm' (BatchNormalization); put batch normalization "
        "before max-pooling",
    ),
    "average pooling": (
        lambda y: next_layer(layers.AveragePooling2D(name="pool")(y)),
        "'pool' (AveragePooling2D) needs real values",
    ),
    "two users": (shortcut, "'re_lu' (ReLU), 'other' (DepthwiseConv2D) use it"),
    "swish": (
        lambda y: next_layer(layers.Activation("swish", name="swish")(y)),
        "'swish' (Activation) comes between it and the next sign; remove it",
    ),
    "last binary layer": (
        lambda y: layers.Conv2D(4, 1, name="real")(layers.BatchNormalization()(y)),
        "'real' (Conv2D) needs real values; this is normal for the last binary layer",
    ),
    "output": (lambda y: layers.BatchNormalization()(y), "it is the model's output"),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_real_outputs_name_the_cause_and_the_way_out(path, cause):
    function, note = CAUSES[cause]
    row = rows(model_of(lambda x: function(binary("conv")(x))), path)["conv"]
    assert row.output == "float32"
    assert note in row.note


def test_flattening_that_splits_words_is_named(path):
    conv = binary("conv", filters=24)
    model = model_of(lambda x: dense_behind(layers.Flatten(name="flatten")(conv(x))))
    row = rows(model, path)["conv"]
    assert row.output == "float32"
    assert "'flatten' (Flatten) comes between it and the next sign" in row.note


@pytest.mark.parametrize(
    "function",
    [
        lambda y: dense_behind(layers.Flatten()(y)),
        lambda y: next_layer(layers.BatchNormalization()(layers.ReLU()(y))),
        lambda y: next_layer(layers.MaxPooling2D()(layers.BatchNormalization()(y))),
        lambda y: next_layer(layers.Activation("linear")(y)),
        lambda y: next_layer(layers.PReLU(shared_axes=[1, 2])(y)),
        lambda y: next_layer(layers.ReLU()(layers.BatchNormalization()(y))),
        lambda y: next_layer(layers.LeakyReLU()(layers.BatchNormalization()(y))),
    ],
    ids=[
        *(
            "flatten",
            "ReLU before batch normalization",
            "batch normalization before pooling",
            "linear",
        ),
        *("PReLU", "ReLU after batch normalization", "LeakyReLU"),
    ],
)
def test_packed_outputs_need_no_note(path, function):
    row = rows(model_of(lambda x: function(binary("conv")(x))), path)["conv"]
    assert (row.output, row.note) == ("bit-packed", "")


def test_an_activation_of_the_layer_itself_is_named(path):
    model = model_of(lambda x: next_layer(binary("conv", activation="tanh")(x)))
    assert "its activation 'tanh' comes between" in rows(model, path)["conv"].note


def separable():
    def function(x):
        for filters in (64, 128):
            x = layers.SeparableConv2D(filters, 3)(x)
        y = layers.AveragePooling2D()(layers.Conv2D(64, 3)(x))
        return layers.BatchNormalization()(y)

    return model_of(function, (16, 16, 32))


def recurrent():
    return model_of(layers.LSTM(64, unroll=True), (8, 64))


def shared():
    """One kernel, which four batch normalizations scale to four."""

    def function(x):
        layer = layers.Conv2D(32, 3, padding="same")
        for _ in range(4):
            x = layers.BatchNormalization()(layer(x))
        return x

    return model_of(function)


def dense():
    def function(x):
        y = layers.BatchNormalization()(lq.layers.QuantDense(512, **BINARY)(x))
        return lq.layers.QuantDense(256, **BINARY)(y)

    return model_of(function, (784,))


@pytest.mark.parametrize(
    "network",
    [
        *(attention, lambda: attention(blocks=4), lambda: attention(blocks=2, heads=8)),
        lambda: attention(size=32, blocks=2),
        *(separable, recurrent, shared, dense, nested),
        lambda: randomised(kbnn.models.vgg_small((32, 32, 3), 10, width=64)),
    ],
    ids=[
        *("attention", "4 blocks", "8 heads", "narrow", "separable", "LSTM", "shared", "dense"),
        *("nested", "vgg_small"),
    ],
)
def test_predicted_size(path, network):
    report = convert(network(), path).report
    assert report.file_bytes > 50_000
    assert report.predicted_bytes == pytest.approx(report.file_bytes, rel=0.1)


def test_a_file_prints_as_a_table_without_its_weights(plain_chain):
    path = plain_chain.path
    report = converters.inspect(path)
    for text in (str(report), repr(report)):
        assert "LceBconv2d" in text
        assert f"file: {path.stat().st_size:,} bytes" in text
        assert "array(" not in text
        assert len(text) < 5000


def test_the_residual_network_names_its_shortcut(plain_residual):
    (note,) = [row.note for row in plain_residual.report.layers if row.layer == "conv_0"]
    assert (
        "(Add) combines it with a shortcut in real values; only a chain without shortcuts is packed"
        in note
    )
