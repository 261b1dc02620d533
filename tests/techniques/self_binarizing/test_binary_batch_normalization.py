"""The comparison is the sign of the batch normalization, in Keras and on the device."""

import larq as lq
import numpy as np
import pytest
import tf_keras as keras

import kbnn
from kbnn.converters import flatbuffer
from kbnn.layers import BinaryBatchNormalization

FAN_IN = 288


def randomize(layer, rng, channels, spread):
    """Set weights of a trained layer, with gammas of both signs, tiny gammas and zeros."""
    gamma = rng.normal(size=channels)
    gamma[: channels // 8] *= 1e-30
    gamma[channels // 8 : channels // 4] = 0.0
    beta, mean = rng.normal(size=channels), rng.normal(scale=spread / 2, size=channels)
    layer.set_weights([gamma, beta, mean, rng.uniform(0.1, spread**2, channels)])


def exact_sign(layer, x):
    """sign(BN(x)) in float64."""
    gamma, beta, mean, variance = (weight.numpy().astype("float64") for weight in layer.weights[:4])
    y = gamma * (x - mean) / np.sqrt(variance + layer.epsilon) + beta
    return np.where(y >= 0, 1.0, -1.0)


def test_every_integer_gets_the_sign_of_its_batch_normalization():
    rng = np.random.default_rng(0)
    layer = BinaryBatchNormalization("ste_sign")
    x = np.repeat(np.arange(-FAN_IN, FAN_IN + 1)[:, None], 256, axis=1).astype("f")
    layer(x)
    randomize(layer, rng, 256, spread=30)
    expected = exact_sign(layer, x)
    assert expected.size > 100_000
    assert 0.3 < (expected > 0).mean() < 0.7
    np.testing.assert_array_equal(layer(x), expected)
    thresholds, above = layer.thresholds(FAN_IN)
    assert np.abs(thresholds).max() == FAN_IN + 1
    by_integers = np.where(above, x >= thresholds, x <= thresholds)
    np.testing.assert_array_equal(np.where(by_integers, 1.0, -1.0), expected)


def test_real_numbers_next_to_the_threshold_are_compared_exactly():
    rng = np.random.default_rng(1)
    layer = BinaryBatchNormalization("ste_sign")
    numbers = keras.Input((64,))
    model = keras.Model(numbers, layer(numbers))
    randomize(layer, rng, 64, spread=3)
    frozen = kbnn.converters.freeze(model)
    gamma, beta, mean, variance = (weight.numpy().astype("float64") for weight in layer.weights[:4])
    finite = np.abs(gamma) > 1e-20
    threshold = np.zeros(64)
    threshold[finite] = (
        mean - beta * np.sqrt(variance + layer.epsilon) / np.where(finite, gamma, 1)
    )[finite]
    near = threshold.astype("f")
    for x in (
        near,
        np.nextafter(near, np.float32(np.inf)),
        np.nextafter(near, -np.float32(np.inf)),
    ):
        found = layer(x[None]).numpy()[0]
        above = x.astype("float64") >= threshold
        below = x.astype("float64") <= threshold
        expected = np.where(np.where(gamma > 0, above, below), 1.0, -1.0)
        np.testing.assert_array_equal(found[finite], expected[finite])
        np.testing.assert_array_equal(frozen(x[None])[0], found)


def test_moving_statistics_are_those_of_keras():
    rng = np.random.default_rng(2)
    x = rng.normal(2.0, 3.0, (16, 4, 4, 8)).astype("f")
    ours, theirs = (
        BinaryBatchNormalization(momentum=0.7),
        keras.layers.BatchNormalization(momentum=0.7),
    )
    for layer in (ours, theirs):
        for _ in range(3):
            layer(x, training=True)
    for one, other in zip(ours.weights[2:4], theirs.weights[2:4], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_layer_that_is_not_trainable_normalizes_with_its_moving_statistics_in_training():
    layer = BinaryBatchNormalization(kbnn.quantizers.SmoothSign(sharpness=0.5), trainable=False)
    x = np.float32([[1.0, -3.0]])
    np.testing.assert_allclose(layer(x, training=True), np.tanh(0.5 * x), rtol=1e-3)


def chain(
    *, padding="same", pad_values=1.0, kernel_quantizer="ste_sign", use_bias=False, ties=True
):
    """A stem and three binary convolutions with only comparisons and pooling between them.

    With `ties`, half of the thresholds are equal to a sum. Sums of scaled kernels are rounded.
    """
    x = image = keras.Input((12, 12, 2), name="image")
    x = keras.layers.Conv2D(32, 3, padding="same", use_bias=False, name="stem")(x)
    x = BinaryBatchNormalization(name="stem_bn")(x)
    for i, filters in enumerate((32, 64, 32), start=1):
        x = lq.layers.QuantConv2D(
            filters,
            3,
            padding=padding,
            pad_values=pad_values,
            kernel_quantizer=kernel_quantizer,
            kernel_constraint="weight_clip",
            use_bias=use_bias,
            name=f"conv_{i}",
        )(x)
        x = BinaryBatchNormalization(name=f"bn_{i}")(x)
        if i == 1:
            x = keras.layers.MaxPooling2D(2, name="pool")(x)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    x = keras.layers.Dense(5, name="logits")(x)
    model = keras.Model(image, x)
    rng = np.random.default_rng(3)
    for weight in model.weights:
        if weight.name.endswith(("kernel:0", "bias:0")):
            weight.assign(rng.normal(size=weight.shape))
    for layer in model.layers:
        if isinstance(layer, BinaryBatchNormalization):
            channels = layer.gamma.shape[0]
            mean = rng.integers(-20, 20, channels) + (0.0 if ties else 0.3)
            gamma = np.where(np.arange(channels) % 2, 1.0, -1.0) * rng.uniform(0.1, 2, channels)
            gamma[:3] = 0.0, -0.0, 1e-30
            beta = rng.normal(size=channels)
            beta[3:] = 0.0
            layer.set_weights(
                [gamma, beta, mean, np.full(channels, 25.0), *layer.get_weights()[4:]]
            )
    return model


@pytest.fixture(scope="module")
def plain_chain():
    return chain()


@pytest.fixture(scope="module")
def plain_file(plain_chain, tmp_path_factory):
    """The converted chain; the fixture converts it once for several tests."""
    path = tmp_path_factory.mktemp("chain") / "model.tflite"
    return kbnn.converters.convert(plain_chain, path, verify_data=chain_images(64, seed=4))


def chain_images(count, seed):
    return np.random.default_rng(seed).normal(size=(count, 12, 12, 2)).astype("f")


NETWORKS = {
    "no padding": {"padding": "valid"},
    "bias": {"use_bias": True},
    "scaled kernel": {"kernel_quantizer": "magnitude_aware_sign", "ties": False},
    "smooth kernel": {"kernel_quantizer": "smooth_sign"},
}


@pytest.mark.parametrize("arguments", NETWORKS.values(), ids=NETWORKS)
def test_frozen_and_device_networks_compute_the_same(arguments, tmp_path):
    model = chain(**arguments)
    x = chain_images(64, seed=4)
    np.testing.assert_allclose(kbnn.converters.freeze(model)(x), model(x), rtol=1e-5, atol=1e-5)
    check_report(kbnn.converters.convert(model, tmp_path / "model.tflite", verify_data=x).report)


def test_frozen_thresholds_are_midway_between_sums(plain_chain, plain_file):
    frozen = kbnn.converters.freeze(plain_chain)
    x = chain_images(64, seed=4)
    np.testing.assert_allclose(frozen(x), plain_chain(x), rtol=1e-5, atol=1e-5)
    gamma, beta, mean, variance = frozen.get_layer("bn_2").get_weights()
    np.testing.assert_array_equal(np.abs(gamma), 1.0)
    np.testing.assert_array_equal(beta, 0.0)
    np.testing.assert_array_equal(variance + np.float32(frozen.get_layer("bn_2").epsilon), 1.0)
    # 288 products of +-1 add up to even numbers.
    np.testing.assert_array_equal(mean % 2, 1.0)
    check_report(plain_file.report)


def check_report(report):
    assert report.parity.passed
    assert report.parity.above_tolerance == 0
    outputs = {layer.layer: layer.output for layer in report.layers}
    assert [outputs[f"conv_{i}"] for i in (1, 2, 3)] == ["bit-packed"] * 3


def test_the_file_has_no_arithmetic_between_binary_convolutions(plain_file):
    content = flatbuffer.read(plain_file.path.read_bytes())
    operators = [operator.name for operator in content.operators]
    first, last = (
        operators.index("LceBconv2d"),
        len(operators) - operators[::-1].index("LceBconv2d"),
    )
    between = operators[first:last]
    assert sorted(set(between)) == ["LceBMaxPool2d", "LceBconv2d"]
    assert between.count("LceBconv2d") == 3


def test_with_zero_padding_all_integers_are_reachable():
    frozen = kbnn.converters.freeze(chain(pad_values=0.0))
    _, _, mean, _ = frozen.get_layer("bn_2").get_weights()
    np.testing.assert_array_equal(mean % 1, 0.5)


def test_thresholds_take_the_fan_in_from_the_layer_before(plain_chain):
    thresholds, above = plain_chain.get_layer("bn_2").thresholds()
    beta = plain_chain.get_layer("bn_2").beta.numpy()
    assert thresholds[0] == -np.sign(beta[0]) * (FAN_IN + 1)
    assert above[0]
    assert np.abs(thresholds).max() <= FAN_IN + 1


def test_recalibration_uses_the_hard_signs():
    model = chain()
    x = chain_images(32, seed=5)
    kbnn.recalibrate_batch_norm(model, x)
    sums = keras.Model(model.input, model.get_layer("conv_1").output)
    # conv_1 saw the signs of the stem, normalized with the statistics of this one batch.
    seen = sums(x).numpy()
    layer = model.get_layer("bn_1")
    np.testing.assert_allclose(layer.moving_mean, seen.mean(axis=(0, 1, 2)), atol=0.02)


def test_requantize_changes_its_activation(plain_chain):
    model = kbnn.requantize(plain_chain, input_quantizer="approx_sign")
    assert isinstance(model.get_layer("bn_1").activation, lq.quantizers.ApproxSign)


def test_invalid_arguments_raise():
    with pytest.raises(ValueError, match="Expected `axis` to be -1"):
        BinaryBatchNormalization(axis=1)
    with pytest.raises(
        ValueError, match=r"gives the sign at inference\. Received: activation='ste_t"
    ):
        BinaryBatchNormalization("ste_tern")
    with pytest.raises(ValueError, match="has not been called"):
        BinaryBatchNormalization().thresholds()


def test_a_sign_stays_before_a_pooling_whose_output_is_used_elsewhere(plain_chain, tmp_path):
    pool = plain_chain.get_layer("pool").output
    pooled = keras.Model(plain_chain.input, [plain_chain.output, pool])
    x = chain_images(16, seed=6)
    report = kbnn.converters.convert(pooled, tmp_path / "model.tflite", verify_data=x).report
    assert report.parity.above_tolerance == 0


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_a_bias_is_added_in_float32_before_the_comparison(scale, rng):
    """The mean is a sum plus its bias, as in a channel that is constant on the data."""
    image = keras.Input((16,))
    dense = lq.layers.QuantDense(
        64, input_quantizer="ste_sign", kernel_quantizer="ste_sign", use_bias=True
    )
    layer = BinaryBatchNormalization("ste_sign", epsilon=0.0)
    model = keras.Model(image, layer(dense(image)))
    bias = rng.normal(scale=scale, size=64).astype("f")
    dense.bias.assign(bias)
    mean = (rng.integers(-8, 9, 64) * 2).astype("f") + bias
    gamma = rng.choice([-1.0, 1.0], 64).astype("f")
    layer.set_weights([gamma, np.zeros(64, "f"), mean, np.ones(64, "f")])
    x = rng.choice([-1.0, 1.0], (400, 16)).astype("f")
    np.testing.assert_array_equal(kbnn.converters.freeze(model)(x), model(x))
    thresholds, above = layer.thresholds()
    sums = np.sign(x) @ np.where(dense.get_weights()[0] >= 0, 1.0, -1.0)
    clear = np.abs(sums + bias - mean) > 1
    expected = np.where(np.where(above, sums >= thresholds, sums <= thresholds), 1.0, -1.0)
    np.testing.assert_array_equal(model(x).numpy()[clear], expected[clear])


def test_thresholds_of_inputs_that_are_not_integers_raise():
    model = kbnn.models.vgg_tiny((12, 12, 1), width=8, normalization="binary")
    layer = model.get_layer("stem_bn")
    with pytest.raises(ValueError, match="'stem_bn' after 'stem'"):
        layer.thresholds()
    assert layer.thresholds(fan_in=9).threshold.shape == (8,)
    for fan_in in (-3, 0, 1.5, float("nan"), "a", True):
        with pytest.raises(ValueError, match="Expected `fan_in` to be a positive integer"):
            layer.thresholds(fan_in)
