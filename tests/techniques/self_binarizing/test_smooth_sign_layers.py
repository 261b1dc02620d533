"""Smooth signs are grouped by the layer whose kernel or inputs they quantize, in order of use."""

import larq as lq
import pytest
import tf_keras as keras

import kbnn
from kbnn.callbacks import SharpnessSchedule
from kbnn.quantizers import SmoothSign
from kbnn.techniques.self_binarizing.smooth_sign_layers import smooth_signs_by_layer


def names_by_layer(model):
    return [{sign.name for sign in signs} for signs in smooth_signs_by_layer(model)]


def dense(name, **quantizers):
    signs = {argument: SmoothSign(name=f"{name}_{argument}") for argument in quantizers}
    return lq.layers.QuantDense(4, **signs, name=name)


def both(name):
    return dense(name, input_quantizer=True, kernel_quantizer=True)


def signs_of(name):
    return {f"{name}_input_quantizer", f"{name}_kernel_quantizer"}


def test_binary_normalization_quantizes_the_inputs_of_the_next_layer_with_a_kernel():
    x = image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="stem")(x)
    for i in range(2):
        x = kbnn.layers.BinaryBatchNormalization(name=f"norm_{i}")(x)
        x = keras.layers.MaxPooling2D(2, 1)(x)
        sign = SmoothSign(name=f"kernel_{i}")
        x = lq.layers.QuantConv2D(4, 3, padding="same", kernel_quantizer=sign, name=f"conv_{i}")(x)
    x = kbnn.layers.BinaryBatchNormalization(name="norm_2")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(2)(x))
    assert names_by_layer(model) == [
        {"norm_0_activation", "kernel_0"},
        {"norm_1_activation", "kernel_1"},
        {"norm_2_activation"},
    ]


def test_a_quantizer_that_is_a_layer_or_an_activation_belongs_to_the_next_layer():
    sign = kbnn.quantizers.ContrastiveSign(SmoothSign(), name="wrapped")
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(4),
            SmoothSign(name="alone"),
            dense("first", kernel_quantizer=True),
            keras.layers.Activation(SmoothSign(name="activation")),
            dense("second", kernel_quantizer=True),
            sign,
            keras.layers.Dense(2),
        ]
    )
    assert names_by_layer(model) == [
        {"alone", "first_kernel_quantizer"},
        {"activation", "second_kernel_quantizer"},
        {sign.base.name},
    ]


def test_residual_networks_are_in_order_of_use():
    sign = SmoothSign()
    model = kbnn.models.resnet((1, 2), (8, 8, 3), 4, 4, sign, sign)
    blocks = ["stage_1_1a", "stage_1_1b", "stage_2_1a", "stage_2_1b", "stage_2_2a", "stage_2_2b"]
    layers = [layer.name for layer in model.layers if hasattr(layer, "input_quantizer")]
    assert [name.removesuffix("_conv") for name in layers] == blocks
    assert names_by_layer(model) == [signs_of(name) for name in layers]


def test_nested_models_and_layers_that_are_used_twice_count_once():
    twice = both("twice")
    inner = keras.Sequential([keras.Input((4,)), both("inner")])
    image = keras.Input((4,))
    model = keras.Model(image, both("last")(twice(inner(twice(image)))))
    assert names_by_layer(model) == [signs_of(name) for name in ("twice", "inner", "last")]


def test_layers_that_share_a_sign_have_no_order():
    sign = SmoothSign(name="shared")
    layers = [lq.layers.QuantDense(4, kernel_quantizer=sign, name=name) for name in "ab"]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"Received: 'shared' in 'a' and 'b'\. Copy it"):
        model.fit([[0.0] * 4], [[0.0] * 4], callbacks=[SharpnessSchedule(order="layer_by_layer")])


def test_subclassed_models_have_no_order():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = both("dense")

        def call(self, inputs):
            return self.dense(inputs)

    model = Subclassed()
    model.compile("sgd", "mse")
    model.build((None, 4))
    with pytest.raises(ValueError, match="Expected a functional or Sequential model with order="):
        model.fit([[0.0] * 4], [[0.0] * 4], callbacks=[SharpnessSchedule(order="layer_by_layer")])
