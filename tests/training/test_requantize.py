"""The same weights under other quantizers, in every kind of model."""

import larq as lq
import numpy as np
import pytest
import tf_keras as keras

import kbnn
from kbnn.graph import layers_of
from kbnn.graph.larq_quantizers import weights_without_quantizers

BINARY = {
    "input_quantizer": "ste_sign",
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
}


@keras.utils.register_keras_serializable(package="tests")
class Threshold(lq.quantizers.Quantizer):
    """A quantizer with a weight, named as a layer's own."""

    precision = 1

    def __init__(self, start=0.0, **kwargs):
        super().__init__(**kwargs)
        self.start = start

    def build(self, input_shape):
        self.threshold = self.add_weight("kernel", (), initializer="zeros")
        self.threshold.assign(self.start)
        super().build(input_shape)

    def call(self, inputs):
        return super().call(lq.quantizers.ste_sign(inputs - self.threshold))

    def get_config(self):
        return {**super().get_config(), "start": self.start}


def quantizer_names(model, argument="input_quantizer"):
    return {
        layer.name: type(getattr(layer, argument)).__name__
        for layer in layers_of(model)
        if hasattr(layer, argument)
    }


def test_all_binary_layers_by_default_and_the_weights_stay(rng):
    model = kbnn.models.vgg_tiny(width=8)
    other = kbnn.requantize(model, input_quantizer="approx_sign", kernel_quantizer="swish_sign")
    assert set(quantizer_names(other).values()) == {"ApproxSign"}
    assert set(quantizer_names(other, "kernel_quantizer").values()) == {"SwishSign"}
    assert set(quantizer_names(model).values()) == {"SteSign"}
    # Their forward pass is the same sign.
    images = rng.normal(size=(3, 28, 28, 1)).astype("f")
    np.testing.assert_array_equal(model.predict(images), other.predict(images))
    assert other.name == model.name
    assert not other.optimizer


def test_only_what_is_given_changes():
    model = kbnn.models.vgg_tiny(width=8)
    real = kbnn.requantize(model, kernel_quantizer=None)
    assert set(quantizer_names(real).values()) == {"SteSign"}
    assert set(quantizer_names(real, "kernel_quantizer").values()) == {"NoneType"}


@pytest.mark.parametrize(
    ("layers", "changed"),
    [
        ("last", {"conv_3"}),
        (["conv_1", "conv_3"], {"conv_1", "conv_3"}),
        (lambda layer: layer.name.endswith("2"), {"conv_2"}),
    ],
)
def test_chosen_layers(layers, changed):
    model = kbnn.requantize(
        kbnn.models.vgg_tiny(width=8), input_quantizer="approx_sign", layers=layers
    )
    names = quantizer_names(model)
    assert {name for name, kind in names.items() if kind == "ApproxSign"} == changed
    assert {names[name] for name in names.keys() - changed} == {"SteSign"}


def test_each_layer_gets_a_clone_with_state_of_its_own():
    given = Threshold(start=0.5)
    model = kbnn.requantize(kbnn.models.vgg_tiny(width=8), input_quantizer=given)
    found = [layer.input_quantizer for layer in layers_of(model) if hasattr(layer, "pad_values")]
    assert len({id(quantizer) for quantizer in [given, *found]}) == 4
    assert len({quantizer.name for quantizer in found}) == 3
    assert [float(quantizer.threshold) for quantizer in found] == [0.5] * 3


def test_a_quantizer_that_stays_keeps_its_state_and_a_new_one_begins_with_its_own():
    model = kbnn.models.vgg_tiny(width=8, input_quantizer=Threshold())
    for layer in layers_of(model):
        if hasattr(layer, "input_quantizer"):
            layer.input_quantizer.threshold.assign(0.25)
    kept = kbnn.requantize(model, kernel_quantizer="approx_sign")
    new = kbnn.requantize(model, input_quantizer=Threshold(start=0.75))
    for copy, expected in ((kept, 0.25), (new, 0.75)):
        layer = copy.get_layer("conv_2")
        assert float(layer.input_quantizer.threshold) == expected
        for old, weight in zip(
            weights_without_quantizers(model.get_layer("conv_2")),
            weights_without_quantizers(layer),
            strict=True,
        ):
            np.testing.assert_array_equal(old.numpy(), weight.numpy())


def test_quantizers_that_are_layers_or_activations_count_as_input_quantizers(rng):
    x = image = keras.Input((8, 8, 4))
    x = lq.quantizers.SteSign(name="sign")(x)
    x = lq.layers.QuantConv2D(
        8,
        3,
        kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
        name="a",
        activation=lq.quantizers.SteSign(),
    )(x)
    x = keras.layers.Activation(lq.quantizers.SteSign(), name="c")(
        keras.layers.BatchNormalization()(x)
    )
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    other = kbnn.requantize(model, input_quantizer=Threshold())
    kinds = [
        type(other.get_layer("sign")).__name__,
        type(other.get_layer("a").activation).__name__,
        type(other.get_layer("c").activation).__name__,
    ]
    assert kinds == ["Threshold"] * 3
    images = rng.normal(size=(3, 8, 8, 4)).astype("f")
    np.testing.assert_array_equal(model.predict(images), other.predict(images))
    without = kbnn.requantize(model, input_quantizer=None, layers=["sign"])
    assert "sign" not in [layer.name for layer in without.layers]


def test_nested_and_shared_layers(rng):
    x = keras.Input((8, 8, 4))
    conv = lq.layers.QuantConv2D(4, 3, padding="same", pad_values=1.0, name="conv", **BINARY)
    block = keras.Model(x, conv(conv(x)), name="block")
    image = keras.Input((8, 8, 4))
    model = keras.Model(image, block(block(image)))
    other = kbnn.requantize(model, kernel_quantizer="approx_sign")
    (copied,) = [layer for layer in layers_of(other) if layer.name == "conv"]
    assert type(copied.kernel_quantizer).__name__ == "ApproxSign"
    assert len(other.weights) == len(model.weights)
    images = rng.normal(size=(3, 8, 8, 4)).astype("f")
    np.testing.assert_array_equal(model.predict(images), other.predict(images))


def test_separable_and_depthwise_kernels():
    x = keras.Input((8, 8, 4))
    y = lq.layers.QuantSeparableConv2D(
        4,
        3,
        depthwise_quantizer="ste_sign",
        pointwise_quantizer="ste_sign",
        depthwise_constraint="weight_clip",
        pointwise_constraint="weight_clip",
        name="separable",
    )(x)
    y = lq.layers.QuantDepthwiseConv2D(
        3, depthwise_quantizer="ste_sign", depthwise_constraint="weight_clip", name="depthwise"
    )(y)
    model = kbnn.requantize(keras.Model(x, y), kernel_quantizer="approx_sign")
    separable, depthwise = model.get_layer("separable"), model.get_layer("depthwise")
    for quantizer in (
        separable.depthwise_quantizer,
        separable.pointwise_quantizer,
        depthwise.depthwise_quantizer,
    ):
        assert type(quantizer).__name__ == "ApproxSign"


def test_the_copy_trains(rng):
    model = kbnn.requantize(
        kbnn.models.vgg_tiny(width=8, input_shape=(8, 8, 1)), kernel_quantizer=Threshold()
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    before = float(model.get_layer("conv_1").kernel_quantizer.threshold)
    images, labels = rng.normal(size=(32, 8, 8, 1)).astype("f"), rng.integers(0, 10, 32)
    model.fit(images, labels, validation_data=(images, labels), verbose=0)
    assert float(model.get_layer("conv_1").kernel_quantizer.threshold) != before


def test_names_may_make_a_real_layer_binary():
    model = kbnn.models.vgg_tiny(width=8, input_quantizer=None, kernel_quantizer=None)
    binary = kbnn.requantize(model, kernel_quantizer="ste_sign", layers=["conv_1"])
    assert quantizer_names(binary, "kernel_quantizer")["conv_1"] == "SteSign"
    with pytest.raises(ValueError, match="Expected a model with a layer that has a kernel_quant"):
        kbnn.requantize(model, kernel_quantizer="ste_sign")


REAL_LAYERS = ["conv_1", "conv_2", "conv_3"]


def test_a_real_kernel_gets_the_clip_with_its_first_quantizer(rng):
    model = kbnn.models.vgg_tiny(width=8, input_shape=(8, 8, 1), kernel_quantizer=None)
    large = rng.normal(0, 2, model.get_layer("conv_1").kernel.shape).astype("f")
    model.get_layer("conv_1").kernel.assign(large)
    binary = kbnn.requantize(model, kernel_quantizer="ste_sign", layers=REAL_LAYERS)
    constraints = [binary.get_layer(name).kernel_constraint for name in REAL_LAYERS]
    assert {type(each) for each in constraints} == {lq.constraints.WeightClip}
    assert len(set(map(id, constraints))) == 3
    assert binary.get_layer("stem").kernel_constraint is None
    assert model.get_layer("conv_1").kernel_constraint is None
    # The values stay, until the first update cuts them.
    kernel = binary.get_layer("conv_1").kernel
    np.testing.assert_array_equal(kernel.latent_variable, large)
    binary.compile(keras.optimizers.SGD(1e-9), "sparse_categorical_crossentropy")
    binary.train_on_batch(rng.normal(size=(8, 8, 8, 1)).astype("f"), rng.integers(0, 10, 8))
    np.testing.assert_allclose(kernel.latent_variable, np.clip(large, -1, 1), atol=1e-6)


@pytest.mark.parametrize("given", ["non_neg", "none"])
def test_a_constraint_that_there_is_stays(given):
    own = {"non_neg": keras.constraints.NonNeg(), "none": None}[given]
    start = None if given == "non_neg" else "ste_sign"
    options = {"kernel_quantizer": start, "kernel_constraint": own}
    model = kbnn.models.vgg_tiny(width=8, **options)
    other = kbnn.requantize(model, kernel_quantizer="approx_sign", layers=REAL_LAYERS)
    assert type(other.get_layer("conv_2").kernel_constraint) is type(own)
    # The clip of a binary layer stays with a real-valued kernel, and is not added to one.
    real = kbnn.requantize(kbnn.models.vgg_tiny(width=8), kernel_quantizer=None)
    assert type(real.get_layer("conv_2").kernel_constraint) is lq.constraints.WeightClip
    inputs = kbnn.requantize(
        kbnn.models.vgg_tiny(width=8, kernel_quantizer=None), input_quantizer="approx_sign"
    )
    assert inputs.get_layer("conv_2").kernel_constraint is None


def test_every_kernel_of_a_layer_gets_a_clip():
    x = keras.Input((8, 8, 4))
    y = lq.layers.QuantSeparableConv2D(
        4, 3, pointwise_quantizer="ste_sign", pointwise_constraint="non_neg", name="separable"
    )(x)
    y = lq.layers.QuantDepthwiseConv2D(3, name="depthwise")(y)
    model = kbnn.requantize(
        keras.Model(x, y), kernel_quantizer="ste_sign", layers=["separable", "depthwise"]
    )
    separable, depthwise = model.get_layer("separable"), model.get_layer("depthwise")
    clip = lq.constraints.WeightClip
    assert isinstance(separable.depthwise_constraint, clip)
    assert isinstance(separable.pointwise_constraint, keras.constraints.NonNeg)
    assert isinstance(depthwise.depthwise_constraint, clip)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "Received: neither"),
        ({"kernel_quantizer": "no_such"}, ValueError, "no_such"),
        ({"kernel_quantizer": 3}, TypeError, "Expected `quantizer`"),
        (
            {"kernel_quantizer": "ste_sign", "layers": ["conv_1", "conv_9", "stem"]},
            ValueError,
            "conv_1, conv_2, conv_3. Received: 'conv_9', 'stem'",
        ),
        ({"kernel_quantizer": "ste_sign", "layers": "first"}, ValueError, "layers='first'"),
        ({"kernel_quantizer": "ste_sign", "layers": []}, ValueError, "that `layers` chooses"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        kbnn.requantize(kbnn.models.vgg_tiny(width=8), **arguments)


def test_a_subclassed_model_is_refused():
    class Own(keras.Model):
        pass

    with pytest.raises(TypeError, match="subclassed"):
        kbnn.requantize(Own(), kernel_quantizer="ste_sign")


def test_last_is_the_last_of_each_kind():
    x = keras.Input((8,))
    y = lq.layers.QuantDense(
        4, kernel_quantizer="ste_sign", kernel_constraint="weight_clip", name="binary"
    )(x)
    model = keras.Model(x, keras.layers.Dense(2)(lq.quantizers.SteSign(name="sign")(y)))
    both = {"kernel_quantizer": "approx_sign", "input_quantizer": "approx_sign"}
    other = kbnn.requantize(model, **both, layers="last")
    assert type(other.get_layer("binary").kernel_quantizer).__name__ == "ApproxSign"
    assert type(other.get_layer("sign")).__name__ == "ApproxSign"
    with pytest.raises(ValueError, match="a layer that has a kernel_quantizer and that `layers`"):
        kbnn.requantize(model, **both, layers=["sign"])


def test_binary_normalization_keeps_its_sign_and_the_layers_behind_it_get_no_second():
    model = kbnn.models.vgg_tiny(width=4, normalization="binary", end_activation=None)
    for quantizer in (None, "dorefa_quantizer"):
        with pytest.raises(ValueError, match=r"a sign for 'stem_bn' \(BinaryBatch"):
            kbnn.requantize(model, input_quantizer=quantizer)
    last = kbnn.requantize(model, input_quantizer="approx_sign", layers="last")
    # What the last binary layer takes, not the signs behind it.
    assert type(last.get_layer("conv_2_bn").activation).__name__ == "ApproxSign"
    assert type(last.get_layer("conv_3_bn").activation).__name__ == "SteSign"
    with pytest.raises(ValueError, match="Expected `layers` to name 'stem_bn'"):
        kbnn.requantize(model, input_quantizer="approx_sign", layers=["conv_1"])


@pytest.mark.parametrize("quantizer", ["ste_sign", "learned_sign"])
@pytest.mark.parametrize("made_under", ["mixed_float16", "float32"])
def test_a_model_of_another_precision_than_the_global_policy(quantizer, made_under, rng):
    policies = {"mixed_float16": "float32", "float32": "mixed_float16"}
    before = keras.mixed_precision.global_policy()
    images = rng.normal(size=(4, 28, 28, 1)).astype("f")
    try:
        keras.mixed_precision.set_global_policy(made_under)
        model = kbnn.models.vgg_tiny(width=8)
        keras.mixed_precision.set_global_policy(policies[made_under])
        other = kbnn.requantize(model, kernel_quantizer=quantizer, input_quantizer="approx_sign")
        np.testing.assert_array_equal(
            other.predict(images, verbose=0), model.predict(images, verbose=0)
        )
        layer = other.get_layer("conv_2")
        for one in (layer, layer.kernel_quantizer, layer.input_quantizer):
            assert one.dtype_policy.name == made_under
        # Its base, too.
        wrapped = kbnn.requantize(model, input_quantizer=kbnn.quantizers.ContrastiveSign())
        wrapped.predict(images, verbose=0)
        assert wrapped.get_layer("conv_2").input_quantizer.base.dtype_policy.name == made_under
    finally:
        keras.mixed_precision.set_global_policy(before)
