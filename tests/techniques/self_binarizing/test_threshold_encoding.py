"""Properties of the encoding that the table of tests does not cover."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from kbnn.layers import ThresholdEncoding


def test_brighter_pixels_have_more_positive_signs_and_no_byte_equals_a_threshold():
    pixels = np.arange(256, dtype="uint8").reshape(1, 16, 16, 1)
    images = kbnn.data.normalization_layer()(pixels)
    encoding = ThresholdEncoding()
    positive = (encoding(images).numpy() > 0).sum(axis=-1).ravel()
    assert (positive[0], positive[-1]) == (0, 32)
    assert np.unique(np.diff(positive)).tolist() == [0, 1]
    assert not np.isin(images, encoding.thresholds).any()


def test_channels_are_encoded_separately():
    red = np.zeros((1, 1, 1, 3), "f")
    red[..., 0] = 2.0
    found = ThresholdEncoding(levels=2)(red).numpy().reshape(3, 2)
    np.testing.assert_array_equal(found, [[1, 1], [1, -1], [1, -1]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": 0}, "Expected `levels` to be a positive integer. Received: levels=0"),
        ({"low": 1.0}, "Expected `low` below `high`"),
        ({"high": float("nan")}, "Received: high=nan"),
    ],
)
def test_invalid_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        ThresholdEncoding(**arguments)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_every_pixel_is_compared_in_float32(policy):
    pixels = (np.arange(256, dtype="f") / 127.5 - 1)[:, None, None, None]
    layer = ThresholdEncoding(dtype=keras.mixed_precision.Policy(policy))
    np.testing.assert_array_equal(tf.cast(layer(pixels), "float32"), ThresholdEncoding()(pixels))


def test_one_layer_encodes_images_of_several_sizes():
    layer = ThresholdEncoding(levels=4)
    image, other = keras.Input((8, 8, 3)), keras.Input((4, 4, 3))
    model = keras.Model([image, other], [layer(image), layer(other)])
    x = [np.random.default_rng(0).normal(size=(2, side, side, 3)).astype("f") for side in (8, 4)]
    for one, expected in zip(kbnn.converters.freeze(model)(x), model(x), strict=True):
        np.testing.assert_array_equal(one, expected)
    with pytest.raises(ValueError, match="number of channels is known"):
        layer = ThresholdEncoding()(keras.Input((8, 8, None)))
