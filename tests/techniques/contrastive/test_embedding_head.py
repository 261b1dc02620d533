"""The embedding head: its formula, sizes that are not known, and what it refuses."""

import numpy as np
import pytest
import tf_keras as keras

from kbnn.techniques.contrastive.embedding_head import EmbeddingHead, MomentumHead


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


def test_batch_normalization_takes_away_scale_and_offset(rng):
    head = EmbeddingHead(5, normalize=True)
    x = rng.normal(size=(40, 3, 3, 6)).astype("f")
    pooled = x.mean(axis=(1, 2))
    head.build(x.shape)
    expected = (pooled - pooled.mean(0)) / np.sqrt(pooled.var(0) + 1e-5) @ head.kernel.numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(head(x), expected, rtol=1e-4, atol=1e-5)
    scale, offset = rng.uniform(1, 9, 6).astype("f"), rng.normal(size=6).astype("f")
    np.testing.assert_allclose(head(scale * x + offset), expected, rtol=1e-3, atol=1e-3)


def test_a_momentum_head_starts_at_the_head_and_then_lags_behind_it(rng):
    head, average = EmbeddingHead(5), MomentumHead(5, is_trained=False)
    x = rng.normal(size=(4, 6)).astype("f")
    head(x), average(x)
    assert average.trainable_weights == []
    average.follow(head, 0.9)
    np.testing.assert_allclose(average(x), head(x), rtol=1e-4, atol=1e-6)
    first = head.kernel.numpy()
    head.kernel.assign(-first)
    average.follow(head, 0.9)
    np.testing.assert_allclose(average.kernel, (0.9 * 0.1 - 0.1) * first, rtol=1e-4, atol=1e-6)


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
    assert (copy.normalize, copy.is_trained) == (False, True)
    copy = EmbeddingHead.from_config(EmbeddingHead(5, "flatten", True, False).get_config())
    assert (copy.pooling, copy.normalize, copy.is_trained) == ("flatten", True, False)


@pytest.mark.parametrize(
    "options", [{"units": 0}, {"units": 2.5}, {"units": True}, {"pooling": "max"}]
)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=r"Expected `(units|pooling)`.*Received"):
        EmbeddingHead(**options)
