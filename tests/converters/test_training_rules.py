"""Lint warns of what keeps a binary network from learning, and of nothing else."""

import itertools

import larq as lq
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from kbnn.converters import lint
from kbnn.converters.lint import lint_for_training
from tests.converters.networks import BINARY, SHAPE

layers = keras.layers
CHANNELS = SHAPE[-1]
SIGN = lq.quantizers.SteSign()


def normalized(x):
    return layers.BatchNormalization()(x)


def conv(x, name="conv", **options):
    options = {"padding": "same", "pad_values": 1.0, "use_bias": False, **BINARY, **options}
    return lq.layers.QuantConv2D(CHANNELS, 3, name=name, **options)(x)


def nested(*functions, shape=SHAPE):
    """A nested model that applies functions in turn."""
    x = y = keras.Input(shape)
    for function in functions:
        y = function(y)
    return keras.Model(x, y)


def network(middle, **options):
    """A binary convolution, what is between, and another binary convolution."""
    image = keras.Input(SHAPE, name="image")
    y = middle(conv(normalized(image), "first"), **options)
    return keras.Model(image, normalized(conv(y, "second")))


def warnings_of(model):
    """The warnings by layer, after checking that they do not depend on whether it is frozen."""
    found = [(row.layer, row.warning) for row in lint(model) if row.warning]
    assert found == [(row.layer, row.warning) for row in lint_for_training(model) if row.warning]
    return dict(found)


ALWAYS_POSITIVE = {
    "ReLU": lambda x: layers.ReLU(name="here")(normalized(x)),
    "ReLU without normalization": lambda x: layers.ReLU(name="here")(x),
    "relu": lambda x: layers.Activation("relu", name="here")(normalized(x)),
    "sigmoid": lambda x: layers.Activation("sigmoid", name="here")(normalized(x)),
    "softmax": lambda x: layers.Softmax(name="here")(normalized(x)),
    "softplus": lambda x: layers.Activation("softplus", name="here")(normalized(x)),
    "threshold": lambda x: layers.ThresholdedReLU(0.5, name="here")(normalized(x)),
    "relu6 of TensorFlow": lambda x: tf.nn.relu6(normalized(x), name="here"),
    "absolute values": lambda x: tf.abs(normalized(x), name="here"),
    "in a real layer": lambda x: layers.Conv2D(CHANNELS, 1, activation="relu", name="here")(x),
    "in a binary layer": lambda x: conv(normalized(x), "here", activation="relu"),
    "pooling": lambda x: layers.MaxPooling2D()(layers.ReLU(name="here")(normalized(x))),
    "average": lambda x: layers.AveragePooling2D()(layers.ReLU(name="here")(normalized(x))),
    "dropout": lambda x: layers.Dropout(0.1)(layers.ReLU(name="here")(normalized(x))),
    "reshaping": lambda x: layers.Permute((2, 1, 3))(layers.ReLU(name="here")(normalized(x))),
    "cropping": lambda x: layers.Cropping2D(1)(layers.ReLU(name="here")(normalized(x))),
    "upsampling": lambda x: layers.UpSampling2D()(layers.ReLU(name="here")(normalized(x))),
    "sum": lambda x: layers.Add()([layers.ReLU(name="here")(normalized(x)), layers.ReLU()(x)]),
    "joined": lambda x: layers.Concatenate()([layers.ReLU(name="here")(x), tf.square(x)]),
    "maximum": lambda x: layers.Maximum()([x, layers.ReLU(name="here")(x)]),
    "behind a nested model": lambda x: nested(layers.ReLU(name="here"), layers.MaxPooling2D())(x),
    "sign of its own": lambda x: conv(
        lq.quantizers.SteSign()(layers.ReLU(name="here")(normalized(x))), input_quantizer=None
    ),
    "pooled signs": lambda x: conv(
        layers.MaxPooling2D()(layers.Activation(SIGN)(layers.ReLU(name="here")(x))),
        input_quantizer=None,
    ),
}


@pytest.mark.parametrize("middle", ALWAYS_POSITIVE.values(), ids=list(ALWAYS_POSITIVE))
def test_signs_that_are_always_positive_are_warned_of(middle):
    (warning,) = list(warnings_of(network(middle)).values())[:1]
    assert "'here' (" in warning.replace("tf.nn.relu6", "here").replace("tf.math.abs", "here")
    assert "all signs are +1" in warning
    assert "put batch normalization" in warning


@pytest.mark.parametrize("middle", ALWAYS_POSITIVE.values(), ids=list(ALWAYS_POSITIVE))
def test_the_nearest_networks_with_signs_of_both_kinds_are_not_warned_of(middle):
    """Batch normalization is in front of the second sign, and signs in between are inputs."""
    image = keras.Input(SHAPE, name="image")
    y = lq.quantizers.SteSign()(normalized(middle(image)))
    model = keras.Model(image, conv(y, "second", input_quantizer=None))
    assert "second" not in [row.layer for row in lint_for_training(model) if row.warning]


def test_the_image_of_unsigned_numbers_is_warned_of():
    image = keras.Input(SHAPE, dtype="uint8", name="image")
    model = keras.Model(image, conv(layers.Rescaling(1 / 255)(image)))
    assert "an input of type uint8" in warnings_of(model)["conv"]
    good = keras.Model(image, conv(layers.Rescaling(1 / 127.5, offset=-1)(image)))
    assert not warnings_of(good)


def test_a_sign_layer_in_front_of_a_nested_model_is_found():
    block = nested(lambda x: conv(x, "inner", input_quantizer=None))
    bad = network(lambda x: normalized(block(lq.quantizers.SteSign()(layers.ReLU()(x)))))
    assert list(warnings_of(bad)) == ["inner"]
    good = network(lambda x: normalized(block(lq.quantizers.SteSign()(normalized(x)))))
    assert not warnings_of(good)


UNNORMALIZED = {
    "nothing": lambda x: x,
    "pooling": layers.MaxPooling2D(),
    "average": layers.AveragePooling2D(),
    "PReLU": layers.PReLU(shared_axes=[1, 2]),
    "tanh": layers.Activation("tanh"),
    "sum": lambda x: layers.Add()([normalized(x), x]),
    "joined": lambda x: layers.Concatenate()([normalized(x), x]),
    "sign of its own": lambda x: conv(lq.quantizers.SteSign()(x), input_quantizer=None),
    "nested": lambda x: nested(layers.LeakyReLU())(x),
}


@pytest.mark.parametrize("middle", UNNORMALIZED.values(), ids=list(UNNORMALIZED))
def test_sums_without_normalization_are_warned_of(middle):
    warnings = list(warnings_of(network(middle)).values())
    assert "takes the sums of 'first' (QuantConv2D) without normalization" in warnings[0]
    assert "put batch normalization in between" in warnings[0]
    model = network(lambda x: middle(normalized(x)))
    assert not [row for row in lint(model) if "'first'" in row.warning]


def test_scaled_kernels_and_biases_are_no_normalization():
    image = keras.Input(SHAPE)
    quantizer = lq.quantizers.MagnitudeAwareSign()
    y = conv(normalized(image), "scaled", use_bias=True, kernel_quantizer=quantizer)
    assert "'scaled'" in warnings_of(keras.Model(image, conv(y)))["conv"]


def test_a_sign_as_activation_of_a_binary_layer():
    image = keras.Input(SHAPE)
    y = conv(conv(normalized(image), "first", activation=SIGN), input_quantizer=None)
    assert "the activation of 'first'" in warnings_of(keras.Model(image, y))["conv"]
    y = layers.Conv2D(CHANNELS, 1, activation=SIGN)(image)
    assert not warnings_of(keras.Model(image, conv(y, input_quantizer=None)))


def test_the_sign_of_tensorflow_passes_no_gradient():
    image = keras.Input(SHAPE)
    model = keras.Model(image, conv(normalized(image), input_quantizer=tf.sign))
    assert "passes no gradient" in warnings_of(model)["conv"]


GOOD = {
    "batch normalization": normalized,
    "layer normalization": layers.LayerNormalization(),
    "normalization and pooling": lambda x: layers.MaxPooling2D()(normalized(x)),
    "pooling and normalization": lambda x: normalized(layers.MaxPooling2D()(x)),
    "ReLU and normalization": lambda x: normalized(layers.ReLU()(x)),
    "learned shift": kbnn.layers.LearnedShift(),
    "ReLU and learned shift": lambda x: kbnn.layers.LearnedShift()(layers.ReLU()(normalized(x))),
    "RPReLU": lambda x: kbnn.layers.RPReLU()(normalized(x)),
    "sum of normalized branches": lambda x: layers.Add()(
        [normalized(x), normalized(conv(normalized(x), "branch"))]
    ),
    "leaky": lambda x: layers.LeakyReLU()(normalized(x)),
    "tanh": lambda x: layers.Activation("tanh")(normalized(x)),
    "ReLU with a slope": lambda x: layers.ReLU(negative_slope=0.1)(normalized(x)),
    "a ReLU and a signed branch": lambda x: layers.Add()([layers.ReLU()(x_ := normalized(x)), x_]),
    "operation of TensorFlow": lambda x: x / 17.0,
    "centered": lambda x: tf.nn.relu(normalized(x)) - 0.5,
    "real layer": layers.Conv2D(CHANNELS, 1),
}


@pytest.mark.parametrize("middle", GOOD.values(), ids=list(GOOD))
def test_networks_that_can_learn_are_not_warned_of(middle):
    assert not warnings_of(network(middle))


def test_binary_batch_normalization_is_a_normalization():
    image = keras.Input(SHAPE)
    y = kbnn.layers.BinaryBatchNormalization("ste_sign")(conv(normalized(image), "first"))
    assert not warnings_of(keras.Model(image, conv(y, input_quantizer=None)))


def dense_block(x):
    """Larq Zoo's BinaryDenseNet joins sums, and normalizes them in front of each sign."""
    return layers.Concatenate()([x, conv(normalized(x))])


def quicknet_block(x):
    return layers.Add()([x, normalized(conv(x, activation="relu"))])


def real_to_binary_block(x):
    """The scale comes from a small real network; a PReLU is in front of the sum."""
    y = conv(normalized(x))
    scale = layers.Dense(CHANNELS, "sigmoid")(layers.GlobalAveragePooling2D()(x))
    y = layers.Multiply()([y, layers.Reshape((1, 1, CHANNELS))(scale)])
    return layers.Add()([layers.PReLU(shared_axes=[1, 2])(y), x])


def alexnet_block(x):
    return normalized(layers.MaxPooling2D(3, 2)(conv(x)))


@pytest.mark.parametrize(
    "block", [dense_block, quicknet_block, real_to_binary_block, alexnet_block]
)
def test_the_blocks_of_larq_s_networks_are_not_warned_of(block):
    image = keras.Input(SHAPE)
    x = normalized(layers.MaxPooling2D()(layers.Conv2D(CHANNELS, 3, activation="relu")(image)))
    model = keras.Model(image, layers.Dense(4)(layers.Flatten()(block(x))))
    assert not warnings_of(model)


CHAIN = {
    "input_quantizer": ["ste_sign", "swish_sign", None],
    "kernel_quantizer": ["ste_sign", "magnitude_aware_sign", None],
    "normalization": ["batch", "binary"],
    "end_activation": ["relu", "rprelu", None],
    "ends": [{}, {"binary_stem": True}, {"binary_classifier": True}],
}
RESIDUAL = {
    "input_quantizer": ["ste_sign", None],
    "kernel_quantizer": ["ste_sign", "magnitude_aware_sign"],
    "shortcuts": ["bi_real", "plain"],
    "downsampling": ["convolution", "padding"],
    "end_activation": ["relu", None],
    "reactnet": [False, True],
}


def settings(options):
    for values in itertools.product(*options.values()):
        found = dict(zip(options, values, strict=True))
        found.update(found.pop("ends", {}))
        real = None in (found["input_quantizer"], found["kernel_quantizer"])
        binary_end = found.get("binary_stem") or found.get("binary_classifier")
        needs_sign = found.get("normalization") == "binary" and found["input_quantizer"] is None
        if not needs_sign and not (binary_end and real):
            yield found


def no_findings(model):
    return not [row for row in lint_for_training(model) if row.warning or row.problem]


@pytest.mark.slow
def test_no_chain_of_kbnn_is_warned_of():
    for options in settings(CHAIN):
        assert no_findings(kbnn.models.vgg_tiny((8, 8, 1), 4, 8, **options)), options


@pytest.mark.slow
def test_no_residual_network_of_kbnn_is_warned_of():
    for stem, options in itertools.product(("small", "imagenet"), settings(RESIDUAL)):
        assert no_findings(kbnn.models.resnet((1, 1), (16, 16, 3), 4, 8, stem=stem, **options))


@pytest.mark.parametrize(
    "build",
    [
        lambda: kbnn.models.vgg_tiny((8, 8, 1), width=32),
        lambda: kbnn.models.vgg_small((8, 8, 1), width=32, normalization="binary"),
        lambda: kbnn.models.resnet((1, 1), (8, 8, 3), 4, 32, reactnet=True),
        lambda: kbnn.models.alexnet((64, 64, 3), 4, 8, hidden_units=32),
    ],
    ids=["vgg_tiny", "vgg_small", "reactnet", "alexnet"],
)
def test_the_networks_of_kbnn_are_not_warned_of(build):
    model = build()
    assert not warnings_of(model)
    assert no_findings(model)
