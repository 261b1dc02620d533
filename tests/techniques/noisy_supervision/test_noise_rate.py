"""estimate_noise_rate finds the wrong signs of networks in which they are known."""

import larq as lq
import numpy as np
import pytest
import tf_keras as keras

import kbnn


@pytest.fixture
def dense(rng):
    """A binary layer with flipped signs, data for which its former signs are right, and those."""
    model = keras.Sequential(
        [keras.Input((64,)), lq.layers.QuantDense(8, use_bias=False, kernel_quantizer="ste_sign")]
    )
    kernel = rng.choice([-1.0, 1.0], size=(64, 8)).astype("f")
    x = rng.normal(size=(4000, 64)).astype("f")
    flips = rng.random(kernel.shape) < np.where(kernel > 0, 0.3, 0.1)
    model.layers[0].set_weights([np.where(flips, -kernel, kernel)])
    return model, x, x @ kernel, kernel, flips


def test_the_rate_is_the_share_of_wrong_signs(dense):
    model, x, y, kernel, flips = dense
    (row,) = kbnn.techniques.estimate_noise_rate(model, x, y, loss="mse", samples=10**6)
    assert row.tried == kernel.size
    assert row.rate == pytest.approx(flips.mean())
    assert row.rate_positive == pytest.approx(flips[kernel > 0].mean())
    assert row.rate_negative == pytest.approx(flips[kernel < 0].mean())
    # Wilson's interval: where a share would be two standard errors (1.96) from the one found.
    for end in (row.low, row.high):
        error = np.sqrt(end * (1 - end) / row.tried)
        assert abs(row.rate - end) == pytest.approx(1.96 * error, rel=1e-3)
    assert row.low < row.rate < row.high


def test_a_sample_of_weights(dense):
    model, x, y, _, flips = dense
    before = model.get_weights()
    one, again, other = (
        kbnn.techniques.estimate_noise_rate(model, x, y, loss="mse", samples=100, seed=seed)[0]
        for seed in (0, 0, 1)
    )
    assert one == again != other
    assert one.tried == 100
    assert one.low < flips.mean() < one.high
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_a_sign_that_does_not_matter_is_not_wrong(dense):
    model, x, _, kernel, flips = dense
    x = np.where(np.arange(64) < 16, 0, x).astype("f")
    (row,) = kbnn.techniques.estimate_noise_rate(model, x, x @ kernel, loss="mse", samples=10**6)
    assert row.rate == pytest.approx(np.sum(flips[16:]) / kernel.size)


def test_each_kernel_is_tried_while_the_others_keep_their_signs(rng):
    """Kernels of more than one bit are not tried."""
    x = keras.Input((32,))
    layers = [lq.layers.QuantDense(4, use_bias=False, kernel_quantizer="ste_sign") for _ in "ab"]
    ternary = lq.layers.QuantDense(4, use_bias=False, kernel_quantizer="ste_tern")(x)
    model = keras.Model(x, keras.layers.add([*(layer(x) for layer in layers), ternary]))
    images = rng.normal(size=(500, 32)).astype("f")
    labels = model.predict(images, verbose=0) + rng.normal(size=(500, 4)).astype("f")
    kernels = [layer.get_weights()[0] for layer in layers]
    for layer, kernel in zip(layers, kernels, strict=True):
        layer.set_weights([np.where(rng.random(kernel.shape) < 0.2, -kernel, kernel)])
    rows = kbnn.techniques.estimate_noise_rate(model, images, labels, loss="mse", samples=10**6)
    signs = [np.where(layer.get_weights()[0] >= 0, 1.0, -1.0) for layer in layers]
    error = model.predict(images, verbose=0) - labels
    assert len(rows) == 2
    for row, kernel in zip(rows, signs, strict=True):
        # By the formula: a flip changes one output by -2 s x.
        change = -2 * kernel[None] * images[:, :, None]
        losses = np.sum((error[:, None] + change) ** 2 - error[:, None] ** 2, axis=0)
        assert row.rate == pytest.approx(np.mean(losses < 0), abs=0.01)
        assert row.rate > 0.05


def test_labels_that_are_not_classes_raise(rng):
    model = kbnn.models.vgg_tiny((12, 12, 1), width=8)
    images = rng.normal(size=(4, 12, 12, 1)).astype("f")
    for labels, message in [
        (np.arange(4) + 8, "Expected class numbers from 0 to 9. Received: 8 to 11"),
        (np.arange(4) - 1, "Received: -1 to 2"),
        (np.array(list("abcd")), r"Expected class numbers in the shape \(4,\), .* Received: <U1"),
        (np.eye(4, 10), "Received: float64 in the shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            kbnn.techniques.estimate_noise_rate(model, images, labels)


def test_labels_for_each_position(rng):
    conv = lq.layers.QuantConv2D(3, 3, kernel_quantizer="ste_sign", name="conv")
    model = keras.Sequential([keras.Input((6, 6, 2)), conv])
    images, labels = rng.normal(size=(4, 6, 6, 2)).astype("f"), rng.integers(0, 3, (4, 4, 4))
    for given in (labels, labels[..., None]):
        (row,) = kbnn.techniques.estimate_noise_rate(model, images, given, samples=5)
        assert row.tried == 5
    with pytest.raises(ValueError, match=r"in the shape \(4, 4, 4\), .* Received: int64 in"):
        kbnn.techniques.estimate_noise_rate(model, images, labels[:, 0, 0])


def test_invalid_arguments_raise(dense):
    model, x, y, _, _ = dense
    with pytest.raises(ValueError, match="Received: 4000 images, 10 labels"):
        kbnn.techniques.estimate_noise_rate(model, x, y[:10])
    with pytest.raises(ValueError, match="Expected `samples`"):
        kbnn.techniques.estimate_noise_rate(model, x, y, samples=0)
    real = keras.Sequential([keras.Input((64,)), keras.layers.Dense(8)])
    with pytest.raises(ValueError, match="quantized to one bit"):
        kbnn.techniques.estimate_noise_rate(real, x, y)


def test_the_default_loss_fits_logits_and_probabilities(rng):
    images, labels = rng.normal(size=(16, 12, 12, 1)).astype("f"), rng.integers(0, 10, 16)
    keras.utils.set_random_seed(0)
    logits = kbnn.models.vgg_tiny((12, 12, 1), width=8, classifier_activation=None)
    keras.utils.set_random_seed(0)
    probabilities = kbnn.models.vgg_tiny((12, 12, 1), width=8)
    probabilities.set_weights(logits.get_weights())
    one, other = (
        kbnn.techniques.estimate_noise_rate(model, images, labels, samples=20)
        for model in (logits, probabilities)
    )
    assert [row.rate for row in one] == pytest.approx([row.rate for row in other], abs=0.051)


def test_a_loss_that_is_not_finite_raises(dense):
    model, x, y, _, _ = dense
    with pytest.raises(ValueError, match="Expected a finite loss"):
        kbnn.techniques.estimate_noise_rate(model, x * np.nan, y, loss="mse")


def test_images_that_do_not_fit_the_model_raise(rng):
    image = keras.Input((12, 12, 1), dtype="uint8")
    base = kbnn.models.vgg_tiny((12, 12, 1), width=8)
    model = keras.Model(image, base(keras.layers.Rescaling(1 / 255)(image)))
    images, labels = rng.uniform(size=(4, 12, 12, 1)).astype("f"), np.zeros(4)
    with pytest.raises(ValueError, match=r"Expected images of uint8 .* Received: float32"):
        kbnn.techniques.estimate_noise_rate(model, images, labels)
    with pytest.raises(ValueError, match=r"Received: uint8 in \(\?, 8, 8, 1\)"):
        kbnn.techniques.estimate_noise_rate(model, np.zeros((4, 8, 8, 1), "uint8"), labels)
    two = [keras.Input((8,)), keras.Input((8,))]
    layer = lq.layers.QuantDense(4, kernel_quantizer="ste_sign")
    several = keras.Model(two, keras.layers.add([layer(one) for one in two]))
    with pytest.raises(ValueError, match="Expected a model of one input"):
        kbnn.techniques.estimate_noise_rate(several, images, labels)


def test_each_kernel_of_a_layer_has_a_row(rng):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            lq.layers.QuantSeparableConv2D(
                4, 3, depthwise_quantizer="ste_sign", pointwise_quantizer="ste_sign", name="conv"
            ),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    images = rng.normal(size=(8, 8, 8, 4)).astype("f")
    rows = kbnn.techniques.estimate_noise_rate(model, images, np.arange(8) % 3, samples=3)
    assert {row.kernel for row in rows} == {"conv/depthwise_kernel", "conv/pointwise_kernel"}
