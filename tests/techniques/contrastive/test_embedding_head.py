"""The embedding head: its formula, sizes that are not known, and what it refuses."""

import numpy as np
import pytest
import tf_keras as keras

from kbnn.techniques.contrastive.embedding_head import EmbeddingHead


@pytest.mark.parametrize("pooling", ["average", "flatten"])
def test_it_is_a_linear_map_of_length_one(rng, pooling):
    head = EmbeddingHead(5, pooling)
    x = rng.normal(size=(4, 3, 2, 6)).astype("f")
    head(x)
    head.bias.assign(rng.normal(size=5))
    kernel, bias = head.get_weights()
    expected = (x.mean(axis=(1, 2)) if pooling == "average" else x.reshape(4, -1)) @ kernel + bias
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(head(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", ["average", "flatten"])
def test_features_without_positions_are_taken_as_they_are(rng, pooling):
    head = EmbeddingHead(5, pooling)
    x = rng.normal(size=(4, 6)).astype("f")
    y = head(x).numpy()
    np.testing.assert_allclose(np.linalg.norm(y, axis=1), 1, rtol=1e-5)
    assert head.kernel.shape == (6, 5)


def test_averages_take_images_of_any_size_and_flattening_says_that_it_does_not():
    image = keras.Input((None, None, 6))
    model = keras.Model(image, EmbeddingHead(5)(image))
    for side in (3, 7):
        assert model(np.ones((2, side, side, 6), "f")).shape == (2, 5)
    with pytest.raises(ValueError, match=r'known height and width.*pooling="average"'):
        EmbeddingHead(5, "flatten")(image)


def test_it_stays_in_float32_under_mixed_precision():
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        head = EmbeddingHead(5)
        assert head(np.full((2, 4, 4, 6), 300.0, "float16")).dtype == "float32"
    finally:
        keras.mixed_precision.set_global_policy("float32")
    copy = EmbeddingHead.from_config(head.get_config())
    assert (copy.units, copy.pooling, copy.dtype) == (5, "average", "float32")


@pytest.mark.parametrize(
    "options", [{"units": 0}, {"units": 2.5}, {"units": True}, {"pooling": "max"}]
)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=r"Expected `(units|pooling)`.*Received"):
        EmbeddingHead(**options)
