"""The architectures: sizes against hand counts, one quantizer a layer, bad arguments refused."""

import larq as lq
import numpy as np
import pytest
import tf_keras as keras

import kbnn
from kbnn import models
from kbnn.converters import flatbuffer

VGGS = [kbnn.models.vgg_small, kbnn.models.vgg_tiny]


def resnet(*, input_shape=(32, 32, 3), classes=10, **arguments) -> keras.Model:
    return kbnn.models.resnet((1, 1), input_shape, classes, **{"width": 16, **arguments})


def reactnet(**arguments) -> keras.Model:
    return resnet(reactnet=True, downsampling="padding", shortcuts="plain", **arguments)


def alexnet(*, input_shape=(64, 64, 3), **arguments) -> keras.Model:
    return kbnn.models.alexnet(input_shape, hidden_units=32, **{"width": 24, **arguments})


MODELS = [*VGGS, resnet, reactnet, alexnet]


def macs(model: keras.Model, precision: int) -> int:
    return lq.models.ModelProfile(model).op_count("mac", precision)


def test_vgg_small_has_the_published_size():
    """128C3 2x(256C3) 2x(512C3) after a 128C3 stem, on 32x32x3, one dense layer of 8192."""
    model = kbnn.models.vgg_small()
    pairs = [(128, 128, 32), (128, 256, 16), (256, 256, 16), (256, 512, 8), (512, 512, 8)]
    profile = lq.models.ModelProfile(model)
    assert profile.weight_count(1) == sum(9 * a * b for a, b, _ in pairs) == 4_571_136
    assert macs(model, 1) == sum(9 * a * b * side**2 for a, b, side in pairs)
    assert model.get_layer("stem").count_params() == 27 * 128
    assert model.get_layer("logits").count_params() == 4 * 4 * 512 * 10 + 10


def test_vgg_tiny_takes_nine_million_macs():
    model = kbnn.models.vgg_tiny()
    assert macs(model, 1) == 9 * (32 * 64 * 14**2 + 64 * 64 * 7**2 + 64 * 128 * 7**2)
    assert 7e6 < macs(model, 1) + macs(model, 32) < 10e6


@pytest.mark.parametrize("build", MODELS)
def test_each_layer_has_quantizers_of_its_own_with_distinct_names(build):
    given = lq.quantizers.SteSign(clip_value=1.3)
    model = build(width=32, input_quantizer=given, kernel_quantizer=given)
    layers = [layer for layer in model.layers if isinstance(layer, lq.layers.QuantConv2D)]
    quantizers = [q for layer in layers for q in (layer.input_quantizer, layer.kernel_quantizer)]
    assert len({id(q) for q in [given, *quantizers]}) == 1 + 2 * len(layers)
    assert len({q.name for q in quantizers}) == 2 * len(layers)
    assert {q.clip_value for q in quantizers} == {1.3}
    assert {layer.pad_values for layer in layers} == {1.0}
    assert all(layer.kernel_constraint is not None for layer in layers)


def nonlinearity(model: keras.Model, rng: np.random.Generator) -> float:
    """How far the logits are from an affine map of what the last binary layer leads to."""
    sums = [layer for layer in model.layers if isinstance(layer, keras.layers.Add)]
    binary = [layer for layer in model.layers if getattr(layer, "kernel_quantizer", None)]
    start = (sums or binary)[-1].output
    rest = keras.Model(start, model.get_layer("logits").output)
    one, other = (rng.normal(size=(4, *start.shape[1:])).astype("f") for _ in range(2))
    return float(np.abs(rest(one) + rest(other) - rest(one + other) - rest(0 * one)).max())


@pytest.mark.parametrize("build", MODELS)
def test_logits_are_no_affine_map_of_the_last_signs(build, rng):
    """Otherwise the last binary layer and the classifier are one linear layer."""
    assert nonlinearity(build(width=8), rng) > 1e-2


@pytest.mark.parametrize("build", [kbnn.models.vgg_tiny, resnet, alexnet])
def test_without_an_end_activation_they_are(build, rng):
    assert nonlinearity(build(width=8, end_activation=None), rng) < 1e-4
    model = build(width=8, end_activation="rprelu")
    assert isinstance(model.get_layer("end_rprelu"), kbnn.layers.RPReLU)


@pytest.mark.parametrize("build", [kbnn.models.vgg_tiny, kbnn.models.vgg_small, alexnet])
def test_binary_normalization_gives_the_end_activation_real_values(build):
    """Behind a sign, a ReLU would only take the gradient from half of the units."""
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
    model = build(width=12, **signs, normalization="binary")
    norms = {layer.name: layer for layer in model.layers if layer.name.endswith("_bn")}
    *others, last = norms.values()
    assert all(isinstance(layer, kbnn.layers.BinaryBatchNormalization) for layer in others)
    assert not isinstance(last, kbnn.layers.BinaryBatchNormalization)
    bare = build(width=12, **signs, normalization="binary", end_activation=None)
    norms = [layer for layer in bare.layers if layer.name in norms]
    assert all(isinstance(layer, kbnn.layers.BinaryBatchNormalization) for layer in norms)


def test_both_normalizations_make_the_same_network(rng):
    """Max-pooling of signs is the sign of max-pooling."""
    images = rng.normal(size=(16, 12, 12, 1)).astype("f")
    options = {"input_shape": (12, 12, 1), "width": 8, "classifier_activation": None}
    networks = [kbnn.models.vgg_tiny(**options, normalization=one) for one in ("batch", "binary")]
    for weight in networks[0].weights:
        if "gamma" in weight.name or "beta" in weight.name:
            weight.assign(rng.normal(size=weight.shape))
    networks[1].set_weights(networks[0].get_weights())
    outputs = [network(images, training=True) for network in networks]
    np.testing.assert_allclose(*outputs, atol=1e-4)


def test_a_binary_classifier_has_a_sign_in_place_of_the_end_activation():
    model = kbnn.models.vgg_tiny(width=8, binary_classifier=True)
    assert not any(layer.name.startswith("end_") for layer in model.layers)


def test_an_unknown_end_activation_is_refused():
    with pytest.raises(ValueError, match=r"end_activation.*relu.*Received.*tanh"):
        kbnn.models.vgg_tiny(end_activation="tanh")


@pytest.mark.parametrize("build", MODELS)
def test_named_ports_and_activation(build):
    model = build(input_shape=(64, 72, 3), classes=7, width=8)
    assert (model.input_names, model.output_names) == (["image"], ["probabilities"])
    np.testing.assert_allclose(model(np.zeros((2, 64, 72, 3), "f")).numpy().sum(1), 1, rtol=1e-5)
    assert build(width=8, classifier_activation=None).output_names == ["logits"]


@pytest.mark.parametrize("build", MODELS)
def test_uint8_with_preprocessing_equals_float_without(build, rng):
    inside = build(width=8, preprocessing=kbnn.data.normalization_layer())
    outside = build(width=8)
    outside.set_weights(inside.get_weights())
    images = rng.integers(0, 256, (3, *inside.input_shape[1:]), np.uint8)
    assert inside.input.dtype == "uint8"
    normalised = kbnn.data.normalization_layer()(images)
    np.testing.assert_allclose(inside(images), outside(normalised), rtol=1e-6)


@pytest.mark.parametrize("build", MODELS)
def test_without_quantizers_it_is_an_ordinary_network(build):
    model = build(width=8, input_quantizer=None, kernel_quantizer=None)
    kinds = [type(layer) for layer in model.layers]
    binary = kinds.count(lq.layers.QuantConv2D) + kinds.count(lq.layers.QuantDense)
    assert lq.models.ModelProfile(model).weight_count(1) == 0
    # The last one is the end activation, in whose place ReActNet has an RPReLU.
    assert kinds.count(keras.layers.ReLU) == binary + (build is not reactnet)


@pytest.mark.parametrize("build", MODELS)
def test_it_learns_under_fit_with_validation(build, rng):
    """Two classes that one bright half tells apart, in a few steps."""
    y = rng.integers(0, 2, 64)
    side = 64 if build is alexnet else 16
    x = rng.normal(size=(64, side, side, 1)).astype("f") * 0.3
    x[y == 1, : side // 2] += 1.0
    model = build(input_shape=(side, side, 1), classes=2, width=16)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", ["accuracy"])
    history = model.fit(x, y, validation_data=(x, y), epochs=12, batch_size=16, verbose=0).history
    assert history["accuracy"][-1] > 0.95
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}


@pytest.mark.parametrize("build", MODELS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (28, 28)}, r"Expected `input_shape` .*Received: input_shape=\(28, 28\)"),
        ({"input_shape": (1, 3, 1)}, r"Expected `input_shape` to be at least"),
        ({"classes": 1}, "Expected `classes`.*Received: classes=1"),
        ({"width": 0}, "Expected `width`.*Received: width=0"),
        ({"classifier_activation": "relu"}, "Received: classifier_activation='relu'"),
        ({"input_quantizer": "no_such_sign"}, "no_such_sign"),
    ],
)
def test_bad_arguments(build, arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)


def test_a_quantizer_that_is_none(rng):
    with pytest.raises(
        TypeError, match="Expected `quantizer` to be an instance of a Larq quantizer"
    ):
        kbnn.models.vgg_tiny(input_quantizer=3)


def operators_of(model, path) -> list[str]:
    """The device's operators, in order, of a model that has seen images."""
    images = np.random.default_rng(0).normal(size=(32, *model.input_shape[1:])).astype("f")
    kbnn.recalibrate_batch_norm(model, images)
    file = kbnn.converters.convert(model, path, verify_data=images).path
    return [operator.name for operator in flatbuffer.read(file.read_bytes()).operators]


SELF_BINARIZING = {
    "input_quantizer": "smooth_sign",
    "kernel_quantizer": "smooth_sign",
    "normalization": "binary",
}


def test_binary_normalization_leaves_packed_bits_alone_between_binary_layers(tmp_path):
    model = models.vgg_small((16, 16, 3), 10, 32, **SELF_BINARIZING)
    names = operators_of(model, tmp_path / "model.tflite")
    assert names[:2] == ["CONV_2D", "LceQuantize"]
    assert names[2:9] == [
        *("LceBconv2d", "LceBMaxPool2d", "LceBconv2d"),
        *("LceBconv2d", "LceBMaxPool2d", "LceBconv2d", "LceBconv2d"),
    ]
    # The last convolution gives real values to the end activation.
    assert names[9:] == ["MAX_POOL_2D", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX"]


def test_binary_normalization_in_front_of_a_dense_layer_leaves_no_arithmetic(tmp_path):
    model = alexnet(**SELF_BINARIZING)
    names = operators_of(model, tmp_path / "model.tflite")
    last = len(names) - names[::-1].index("LceBconv2d")
    between = names[names.index("LceQuantize") + 1 : last]
    assert between.count("LceBconv2d") == 6
    assert set(between) == {"LceBconv2d", "LceBMaxPool2d"}


def test_binary_normalization_needs_a_quantizer():
    with pytest.raises(ValueError, match='Expected an `input_quantizer` with normalization="bin'):
        models.vgg_tiny(input_quantizer=None, normalization="binary")


@pytest.mark.parametrize("build", [models.vgg_tiny, models.vgg_small, alexnet])
@pytest.mark.parametrize("signs", [{}, SELF_BINARIZING], ids=["ste_sign", "self-binarizing"])
def test_binary_ends_leave_one_real_multiplication_of_images(build, signs, tmp_path):
    shape = {"input_shape": (16, 16, 3)} if build is not alexnet else {}
    ends = {"binary_stem": True, "binary_classifier": True, "classifier_activation": None}
    model = build(width=24, **shape, **ends, **signs)
    assert model.output_names == ["logits"]
    names = operators_of(model, tmp_path / "model.tflite")
    assert names[:3] == ["DEPTHWISE_CONV_2D", "LceQuantize", "LceBconv2d"]
    assert not {"CONV_2D", "FULLY_CONNECTED"} & set(names)
    binary = [layer for layer in model.layers if hasattr(layer, "kernel_quantizer")]
    assert names.count("LceBconv2d") == len(binary)


def test_a_binary_classifier_needs_a_quantizer():
    with pytest.raises(ValueError, match="with a binary classifier"):
        models.vgg_tiny(input_quantizer=None, binary_classifier=True)
