"""The published sizes; what the options change."""

import larq as lq
import numpy as np
import pytest
import tf_keras as keras

import kbnn
from kbnn import models


def trainable(model: keras.Model) -> int:
    return sum(weight.shape.num_elements() for weight in model.trainable_weights)


def macs(model: keras.Model) -> int:
    profile = lq.models.ModelProfile(model)
    return profile.op_count("mac", 1) + profile.op_count("mac", 32)


def test_resnet20_has_the_published_size():
    """He et al., 2016: 0.27 million weights, which other codes count as 269,722."""
    model = models.resnet20()
    assert trainable(model) == 269_722
    stages = [(16, 32, 6), (32, 16, 5), (64, 8, 5)]
    inner = sum(9 * width**2 * side**2 * count for width, side, count in stages)
    shrinking = 9 * 16 * 32 * 16**2 + 9 * 32 * 64 * 8**2
    assert macs(model) == 27 * 16 * 32**2 + inner + shrinking + 64 * 10


@pytest.mark.parametrize(
    ("build", "weights", "multiply_accumulates"),
    [
        # torchvision's table of pretrained weights: 11.69 and 21.80 million, 1.81 and 3.66 billion.
        (models.resnet18, 11_689_512, 1_814_073_344),
        (models.resnet34, 21_797_672, 3_663_761_408),
    ],
)
def test_imagenet_resnets_have_the_published_size(build, weights, multiply_accumulates):
    model = build()
    assert trainable(model) == weights
    assert macs(model) == multiply_accumulates


def test_alexnet_has_the_published_size():
    """62,378,344 weights in one tower, 10,568 of them biases, of which the last 1,000 are here."""
    model = models.alexnet()
    normalization = sum(
        trainable(layer)
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    )
    assert trainable(model) - normalization == 62_378_344 - 10_568 + 1000
    real = 11 * 11 * 3 * 96 + 4096 * 1000
    binary = trainable(model) - normalization - 1000 - real
    assert lq.models.ModelProfile(model).weight_count(1) == binary == 58_236_928


def test_plain_shortcuts_go_around_pairs():
    bi_real = models.resnet20(width=8)
    plain = models.resnet20(width=8, shortcuts="plain")
    sums = [
        sum(isinstance(layer, keras.layers.Add) for layer in model.layers)
        for model in (bi_real, plain)
    ]
    assert sums == [18, 9]
    assert trainable(bi_real) == trainable(plain)


def test_padding_gives_zeros_for_new_channels(rng):
    model = models.resnet((1, 1), (8, 8, 3), 10, 4, downsampling="padding")
    shortcut = keras.Model(model.input, model.get_layer("stage_2_1a_shortcut").output)
    given = keras.Model(model.input, model.get_layer("stage_1_1b_add").output)
    images = rng.normal(size=(2, 8, 8, 3)).astype("f")
    padded, before = shortcut(images).numpy(), given(images).numpy()
    pooled = before.reshape(2, 4, 2, 4, 2, 4).mean(axis=(2, 4))
    np.testing.assert_allclose(padded[..., :4], pooled, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(padded[..., 4:], 0)


def test_reactnet_has_a_shift_for_each_sign_and_an_activation_for_each_sum():
    model = models.resnet((1, 1), (8, 8, 3), 10, 8, reactnet=True)
    kinds = [type(layer) for layer in model.layers]
    assert kinds.count(kbnn.layers.LearnedShift) == kinds.count(lq.layers.QuantConv2D) == 4
    assert kinds.count(kbnn.layers.RPReLU) == kinds.count(keras.layers.Add) == 4


@pytest.mark.parametrize(
    "build",
    [models.resnet18, models.resnet34, models.resnet20, models.alexnet, models.vgg_small],
)
def test_normalization_of_ones_own(build):
    def normalization(name: str) -> keras.layers.Layer:
        return keras.layers.LayerNormalization(name=name)

    model = build((64, 64, 3), 10, 6, normalization=normalization)
    kinds = {type(layer) for layer in model.layers if layer.name.endswith("_bn")}
    assert kinds == {keras.layers.LayerNormalization}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stem": "large"}, "Expected `stem` to be one of 'small', 'imagenet'. Received: stem="),
        ({"shortcuts": "none"}, "Expected `shortcuts`"),
        ({"downsampling": "stride"}, "Expected `downsampling`"),
        ({"normalization": "layer"}, "Expected `normalization`"),
        ({"normalization": keras.layers.BatchNormalization}, "Expected `normalization`"),
        ({"normalization": "binary"}, "works in chains"),
        ({"stages": (2, 0)}, "Expected `stages`"),
        ({"stages": ()}, "Expected `stages`"),
        ({"stages": 3}, "Expected `stages`"),
        ({"input_shape": (1, 8, 3)}, "Expected `input_shape` to be at least 2x2"),
        ({"stem": "imagenet", "input_shape": (7, 8, 3)}, "at least 8x8"),
    ],
)
def test_bad_arguments(arguments, message):
    given = {"stages": (1, 1), "input_shape": (8, 8, 3), "classes": 10, "width": 8, **arguments}
    with pytest.raises(ValueError, match=message):
        models.resnet(**given)


def test_a_normalization_that_is_no_layer():
    with pytest.raises(TypeError, match=r"Expected `normalization\(name\)` to be a Keras 2 layer"):
        models.vgg_tiny(normalization=lambda name: name)
