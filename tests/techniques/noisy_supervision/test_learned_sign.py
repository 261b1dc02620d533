"""Kernels with learned signs: their gradients, their start, and what ships."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from kbnn.graph.precision import in_float32
from kbnn.quantizers import LearnedSign
from kbnn.techniques.noisy_supervision.filter_mapping import FilterMapping
from tests.techniques.short_training import chain, compiled, fit, learnable_images


def start_mapping(quantizer):
    """Give the mapping an effect: set its last convolution, which starts at 0."""
    for weight in quantizer.weights:
        if not np.any(weight):
            weight.assign(np.random.default_rng(3).normal(size=weight.shape))


def quantizer_on(kernel, **arguments):
    """A quantizer whose mapping has an effect, and its kernel as a variable."""
    quantizer = LearnedSign(**arguments)
    quantizer.build(kernel.shape)
    start_mapping(quantizer)
    return quantizer, tf.Variable(kernel)


@pytest.fixture
def kernel(rng):
    return rng.normal(scale=0.05, size=(3, 3, 16, 8)).astype("f")


@pytest.mark.parametrize("start", ["residual", "random"])
@pytest.mark.parametrize("mapping", ["full", "depthwise", "bottleneck"])
def test_the_task_and_the_auxiliary_loss_each_reach_filters_and_mapping(kernel, start, mapping):
    quantizer, latent = quantizer_on(kernel, start=start, mapping=mapping)
    with tf.GradientTape(persistent=True) as tape:
        signs = quantizer(latent, training=True)
        (auxiliary,) = quantizer.losses
        task = tf.reduce_sum(signs * np.random.default_rng(1).normal(size=kernel.shape))
    for loss in (task, auxiliary):
        gradients = tape.gradient(loss, [latent, *quantizer.trainable_weights])
        assert all(np.abs(gradient).max() > 0 for gradient in gradients)


@pytest.mark.parametrize("start", ["residual", "random"])
@pytest.mark.parametrize("clip_value", [None, 0.05])
def test_the_gradient_of_the_signs_is_that_of_the_prediction(kernel, start, clip_value):
    quantizer, latent = quantizer_on(kernel, start=start, clip_value=clip_value)
    given = np.random.default_rng(1).normal(size=kernel.shape).astype("f")
    with tf.GradientTape(persistent=True) as tape:
        signs = quantizer(latent, training=True)
        prediction = quantizer.prediction(latent)
        passed = tf.abs(tf.stop_gradient(prediction)) <= (clip_value or np.inf)
        expected = tf.reduce_sum(prediction * tf.where(passed, given, 0))
        found = tf.reduce_sum(signs * given)
    for one, other in zip(
        tape.gradient(found, [latent, *quantizer.trainable_weights]),
        tape.gradient(expected, [latent, *quantizer.trainable_weights]),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_no_gradient_through_the_labels(kernel):
    quantizer, latent = quantizer_on(kernel, loss_on="hard", clip_value=0.0)
    with tf.GradientTape() as tape:
        quantizer(latent, training=True)
        (auxiliary,) = quantizer.losses
    # No gradient passes Q here, so any gradient would have come through the labels.
    gradient = tape.gradient(auxiliary, latent)
    np.testing.assert_array_equal(gradient, np.zeros_like(kernel))


def test_no_gradient_through_the_deviation(kernel):
    quantizer, latent = quantizer_on(kernel)
    deviation = float(kernel.std())
    with tf.GradientTape(persistent=True) as tape:
        filters = tf.transpose(latent / deviation, [3, 0, 1, 2])
        mapped = tf.transpose(quantizer._network(filters), [1, 2, 3, 0])
        expected = tf.reduce_sum((latent + 0.1 * deviation * mapped) ** 3)
        found = tf.reduce_sum(quantizer.prediction(latent) ** 3)
    np.testing.assert_allclose(
        tape.gradient(found, latent), tape.gradient(expected, latent), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("mapping", ["full", "depthwise", "bottleneck"])
def test_the_weights_of_a_filter_interact(kernel, mapping, monkeypatch):
    """They interact through the convolutions: the test holds the shared statistics fixed."""
    moments = tf.nn.moments
    monkeypatch.setattr(tf.nn, "moments", lambda *a: [tf.stop_gradient(m) for m in moments(*a)])
    quantizer, latent = quantizer_on(kernel, start="random", mapping=mapping)
    with tf.GradientTape() as tape:
        one = quantizer.prediction(latent)[1, 1, 0, 0]
    reached = tape.gradient(one, latent).numpy() != 0
    assert not reached[..., 1:].any()
    own = reached[..., 0]
    assert own.mean() > 0.5
    assert own[0].any()
    assert own[2].any()
    assert own[1, 1, 1:].any()


def test_filters_share_batch_statistics(kernel):
    quantizer, latent = quantizer_on(kernel, start="random")
    with tf.GradientTape() as tape:
        one = quantizer.prediction(latent)[0, 0, 0, 0]
    gradient = tape.gradient(one, latent).numpy()
    assert (np.abs(gradient[..., 1:]) > 0).mean() > 0.5


@pytest.mark.parametrize(
    ("mapping", "channels", "count"),
    [
        ("full", 16, 18_432),
        ("full", 64, 72 * 64**2),
        ("depthwise", 64, 8 * 64**2 + 45 * 64),
        ("bottleneck", 64, 17 * 64**2 // 16),
    ],
)
def test_number_of_convolution_weights(mapping, channels, count):
    quantizer = LearnedSign(mapping=mapping)
    quantizer.build((3, 3, channels, 8))
    kernels = [weight for weight in quantizer.weights if "kernel" in weight.name]
    assert sum(int(tf.size(weight)) for weight in kernels) == count


@pytest.mark.parametrize("shape", [(16, 8), (1, 1, 16, 8), (5, 5, 16, 8), (3, 3, 1, 8)])
@pytest.mark.parametrize("mapping", ["full", "depthwise", "bottleneck"])
def test_shapes_of_kernels(rng, shape, mapping):
    quantizer, latent = quantizer_on(rng.normal(size=shape).astype("f"), mapping=mapping)
    signs = quantizer(latent, training=True).numpy()
    assert signs.shape == shape
    assert set(np.unique(signs)) <= {-1.0, 1.0}


def test_dense_filters_are_mapped_one_by_one(rng):
    """Only the statistics are shared: two equal filters get the same signs."""
    kernel = rng.normal(size=(16, 8)).astype("f")
    kernel[:, 5] = kernel[:, 2]
    quantizer, latent = quantizer_on(kernel, start="random")
    prediction = quantizer.prediction(latent).numpy()
    np.testing.assert_allclose(prediction[:, 5], prediction[:, 2], rtol=1e-6)
    assert not np.allclose(prediction[:, 4], prediction[:, 2])


@pytest.mark.parametrize("start", ["residual", "random"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("loss_on", ["soft", "hard"])
def test_the_auxiliary_loss(kernel, reduction, loss_on, start):
    rates = (0.2, 0.1)
    options = {"noise_rate": rates, "weight": 3.0, "reduction": reduction, "loss_on": loss_on}
    quantizer, latent = quantizer_on(kernel, **options, start=start)
    quantizer(latent, training=True)
    (found,) = quantizer.losses
    p = quantizer.prediction(latent).numpy().astype(float)
    q = np.tanh(p / kernel.std()) if loss_on == "soft" else np.where(p >= 0, 1.0, -1.0)
    label = np.where(kernel >= 0, 1.0, -1.0)
    rate = np.where(label > 0, *rates)
    each = (q - label) ** 2 - 4 * rate * label * q / (1 - sum(rates))
    expected = each.mean() if reduction == "mean" else each.sum()
    np.testing.assert_allclose(found, 3 * expected, rtol=1e-4)
    np.testing.assert_allclose(quantizer.auxiliary_loss(latent), expected, rtol=1e-4)
    for training in (False, None):
        quantizer(latent, training=training)
        assert [float(loss) for loss in quantizer.losses] == [0.0]

    @tf.function
    def loss_of(training):
        quantizer(latent, training=training)
        return quantizer.losses[0]

    np.testing.assert_allclose(loss_of(tf.constant(True)), found, rtol=1e-5)
    assert float(loss_of(tf.constant(False))) == 0.0


def test_a_prediction_of_the_random_start_has_the_scale_of_the_kernel(kernel):
    """`clip_value`, the limit of the straight-through gradient, relies on this."""
    quantizer, _ = quantizer_on(kernel, start="random")
    for factor in (1.0, 0.01):
        filters = np.transpose(kernel / kernel.std(), [3, 0, 1, 2])
        mapped = np.transpose(quantizer._network(filters), [1, 2, 3, 0])
        found = quantizer.prediction(factor * kernel)
        np.testing.assert_allclose(found, factor * kernel.std() * mapped, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("mapping", ["full", "depthwise", "bottleneck"])
@pytest.mark.parametrize("channels", [16, 64])
def test_a_mapping_begins_with_outputs_as_large_as_its_inputs(mapping, channels, rng):
    keras.utils.set_random_seed(0)
    network = FilterMapping(mapping)
    outputs = network(rng.normal(size=(64, 3, 3, channels)).astype("f"))
    assert 0.7 < np.std(outputs) < 1.4


@pytest.mark.parametrize("factor", [0.1, 2.0])
def test_a_residual_prediction_is_the_kernel_plus_the_scaled_mapping(kernel, factor):
    quantizer, _ = quantizer_on(kernel, residual_scale=factor)
    filters = np.transpose(kernel / kernel.std(), [3, 0, 1, 2])
    mapped = np.transpose(quantizer._network(filters), [1, 2, 3, 0])
    assert np.abs(mapped).max() > 0.1
    expected = kernel + factor * kernel.std() * mapped
    np.testing.assert_allclose(quantizer.prediction(kernel), expected, rtol=1e-3, atol=1e-5)


@pytest.fixture(scope="module")
def trained():
    """A trained network, and its images and classes. Tests must not change it."""
    model = compiled(chain())
    data = learnable_images()
    fit(model, data)
    return model, data


@pytest.mark.parametrize("mapping", ["full", "depthwise", "bottleneck"])
def test_with_the_residual_start_the_first_step_is_that_of_the_trained_network(trained, mapping):
    model, (images, labels) = trained
    learned = kbnn.requantize(model, kernel_quantizer=LearnedSign(weight=0.0, mapping=mapping))
    np.testing.assert_array_equal(learned(images), model(images))
    gradients = []
    for network in (model, learned):
        kernel = network.get_layer("conv_2").kernel
        with tf.GradientTape() as tape:
            found = network(images, training=True)
            loss = keras.losses.sparse_categorical_crossentropy(labels, found)
        gradients.append(tape.gradient(loss, getattr(kernel, "latent_variable", kernel)))
    np.testing.assert_allclose(*gradients, rtol=1e-5, atol=1e-7)


def test_training_changes_signs_and_a_plain_network_ships(trained, tmp_path):
    model, data = trained
    learned = compiled(kbnn.requantize(model, kernel_quantizer=LearnedSign()))
    fit(learned, data, epochs=4)
    kernel = learned.get_layer("conv_2").kernel
    latent = getattr(kernel, "latent_variable", kernel).numpy()
    signs = np.sign(learned.get_layer("conv_2").kernel_quantizer.prediction(latent))
    assert 0 < np.mean(signs != np.sign(latent)) < 0.5
    frozen = kbnn.converters.freeze(learned)
    np.testing.assert_array_equal(frozen.get_layer("conv_2").get_weights()[0], signs)
    assert frozen.count_params() == kbnn.converters.freeze(model).count_params()
    file = tmp_path / "learned.tflite"
    report = kbnn.converters.convert(learned, file, verify_data=data).report
    assert report.parity.class_agreement == 1.0
    plain = kbnn.converters.convert(model, tmp_path / "plain.tflite", verify_data=data).report
    assert report.file_bytes == plain.file_bytes


@pytest.mark.slow
def test_smooth_inputs_and_learned_kernels_combine(tmp_path):
    data = learnable_images()
    model = compiled(chain(input_quantizer=kbnn.quantizers.SmoothSign()))
    fit(model, data, callbacks=[kbnn.callbacks.SharpnessSchedule(1, 10)])
    learned = kbnn.requantize(model, kernel_quantizer=LearnedSign())
    np.testing.assert_array_equal(learned(data[0]), model(data[0]))
    callbacks = [
        kbnn.callbacks.SharpnessSchedule(10, 20),
        kbnn.callbacks.LearnedSignMonitor(model),
    ]
    history = fit(compiled(learned), data, callbacks=callbacks)
    assert history["sharpness"][-1] == 20.0
    assert 0 < history["conv_2/kernel_flips"][-1] < 0.5
    learned.save(tmp_path / "learned.keras")
    loaded = keras.models.load_model(tmp_path / "learned.keras")
    np.testing.assert_array_equal(loaded(data[0]), learned(data[0]))
    report = kbnn.converters.convert(loaded, tmp_path / "a.tflite", verify_data=data).report
    assert report.parity.class_agreement == 1.0


def test_the_mapping_is_evaluated_once_per_step(monkeypatch):
    model = kbnn.models.vgg_tiny((12, 12, 1), width=8, kernel_quantizer=LearnedSign())
    model.compile("adam", "sparse_categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    calls = []
    call = FilterMapping.call

    def record(self, inputs):
        calls.append(self)
        return call(self, inputs)

    monkeypatch.setattr(FilterMapping, "call", record)
    data = (tf.zeros([2, 12, 12, 1]), tf.zeros([2], tf.int32))
    tf.function(model.train_step).get_concrete_function(data)
    # The graph of a step contains each layer's mapping once.
    assert len(calls) == len(set(map(id, calls))) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise_rate": -0.1}, "Received: rate_positive=-0.1"),
        ({"noise_rate": 0.5}, "sum is below 1"),
        ({"noise_rate": (0.9, 0.1)}, "sum is below 1"),
        ({"noise_rate": (0.1, 0.1, 0.1)}, "Expected `noise_rate` to be a number or a pair"),
        ({"noise_rate": "0.1"}, "Expected `noise_rate` to be a number or a pair"),
        ({"weight": -1.0}, "Expected `weight`"),
        ({"weight": None}, "Expected `weight`"),
        ({"clip_value": float("nan")}, "Expected `clip_value`"),
        (
            {"reduction": "max"},
            "Expected `reduction` to be one of 'mean', 'sum'. Received: reduction=",
        ),
        ({"loss_on": "q"}, "Expected `loss_on`"),
        ({"mapping": "linear"}, "Expected `mapping`"),
        ({"start": "zero"}, "Expected `start`"),
        ({"residual_scale": -0.1}, "Expected `residual_scale` to be a number above 0"),
        ({"residual_scale": 0.0}, "Expected `residual_scale` to be a number above 0"),
        ({"residual_scale": True}, "Expected `residual_scale`"),
    ],
)
def test_invalid_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        LearnedSign(**arguments)


def test_a_kernel_of_another_rank_raises():
    with pytest.raises(ValueError, match=r"Received: a shape \(3, 16, 8\)"):
        LearnedSign().build((3, 16, 8))


@pytest.fixture(scope="module")
def learned():
    """A network after a few steps with learned signs. Tests must not change it."""
    keras.utils.set_random_seed(0)
    model = kbnn.models.vgg_tiny((12, 12, 1), width=8)
    model = kbnn.requantize(model, kernel_quantizer=LearnedSign(weight=0.0))
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    model.fit(rng.normal(size=(64, 12, 12, 1)), rng.integers(0, 10, 64), epochs=3, verbose=0)
    return model


@pytest.fixture
def images(rng):
    return rng.normal(size=(8, 12, 12, 1)).astype("f")


def test_another_learned_sign_keeps_the_mappings(learned, images):
    expected = learned.predict(images, verbose=0)
    more = kbnn.requantize(learned, kernel_quantizer=LearnedSign(0.3, weight=0.1))
    np.testing.assert_array_equal(more.predict(images, verbose=0), expected)
    assert more.get_layer("conv_2").kernel_quantizer.noise_rate == (0.3, 0.3)


@pytest.mark.parametrize(
    "quantizer",
    [
        *("ste_sign", "approx_sign", "smooth_sign"),
        *(LearnedSign(mapping="depthwise"), LearnedSign(residual_scale=0.2)),
    ],
    ids=["ste_sign", "approx_sign", "smooth_sign", "another mapping", "another factor"],
)
def test_under_another_quantizer_the_predictions_become_latent_weights(learned, quantizer, images):
    before = learned.get_weights()
    other = kbnn.requantize(learned, kernel_quantizer=quantizer)
    expected = learned.predict(images, verbose=0)
    np.testing.assert_allclose(other.predict(images, verbose=0), expected, atol=1e-5)
    kernel = other.get_layer("conv_2").kernel.latent_variable.numpy()
    # They are not the +-1 of a frozen network, which training could hardly flip.
    assert len(np.unique(np.abs(kernel))) > kernel.size / 2
    for one, same in zip(learned.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({}, {"noise_rate": 0.3, "weight": 1.0, "clip_value": None}, True),
        ({}, {"residual_scale": 0.2}, False),
        ({}, {"mapping": "bottleneck"}, False),
        ({}, {"start": "random"}, False),
        ({"start": "random"}, {"start": "random", "residual_scale": 0.2}, True),
    ],
)
def test_which_mappings_fit_each_other(one, other, expected):
    assert LearnedSign(**one)._mapping_fits(LearnedSign(**other)) is expected
    assert LearnedSign(**other)._mapping_fits(LearnedSign(**one)) is expected


def test_the_defaults():
    assert LearnedSign(name="sign").get_config() == {
        **lq.quantizers.Quantizer(name="sign").get_config(),
        "noise_rate": [0.1, 0.1],
        "weight": 0.01,
        "reduction": "mean",
        "loss_on": "soft",
        "mapping": "full",
        "start": "residual",
        "residual_scale": 0.1,
        "clip_value": 1.0,
    }


def test_a_prediction_needs_the_kernel_of_the_layer(kernel):
    with pytest.raises(ValueError, match="Expected a LearnedSign that a layer has built"):
        LearnedSign().prediction(kernel)
    quantizer, _ = quantizer_on(kernel)
    for method in (quantizer.prediction, quantizer.auxiliary_loss):
        with pytest.raises(ValueError, match=r"Received: a shape \(5, 5, 16, 8\)"):
            method(np.zeros((5, 5, 16, 8), "f"))


def test_the_error_for_a_kernel_names_its_layer_and_leaves_larq_as_it_was():
    model = keras.Sequential(
        [
            keras.Input((8, 4)),
            lq.layers.QuantConv1D(
                4, 3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip", name="conv"
            ),
        ]
    )
    with pytest.raises(ValueError, match="of layer 'conv'"):
        kbnn.requantize(model, kernel_quantizer=LearnedSign())

    def replace(layer):
        config = {**layer.get_config(), "kernel_quantizer": LearnedSign()}
        return type(layer).from_config(config)

    with pytest.raises(ValueError, match="LearnedSign on a kernel"):
        kbnn.graph.rewrite(model, replace)
    assert lq.context.should_quantize() is False


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_in_mixed_precision_all_read_the_kernel_as_rounded_as_the_layer_does(policy, rng):
    """The signs of the mapping depend on the last bits of the kernel."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        keras.utils.set_random_seed(0)
        model = kbnn.models.vgg_tiny(
            (12, 12, 1), width=8, kernel_quantizer=LearnedSign(start="random")
        )
    finally:
        keras.mixed_precision.set_global_policy(before)
    layer = model.get_layer("conv_2")
    latent = layer.kernel.latent_variable
    with lq.context.quantized_scope(True):
        signs = tf.cast(tf.convert_to_tensor(layer.kernel), tf.float32)
    predicted = layer.kernel_quantizer.prediction(latent)
    np.testing.assert_array_equal(lq.math.sign(predicted), signs)
    frozen = kbnn.converters.freeze(model)
    np.testing.assert_array_equal(frozen.get_layer("conv_2").get_weights()[0], signs)
    images = rng.normal(size=(8, 12, 12, 1)).astype("f")
    single = in_float32(model)
    expected = frozen.predict(images, verbose=0)
    np.testing.assert_array_equal(single.predict(images, verbose=0), expected)
    copied = single.get_layer("conv_2")
    of_copy = copied.kernel_quantizer.prediction(copied.kernel.latent_variable)
    np.testing.assert_array_equal(of_copy, predicted)
    of_kept = copied.kernel_quantizer.prediction(latent)
    assert np.any(of_kept != predicted)


@pytest.mark.parametrize("shape", [(16, 1), (1, 1, 16, 1), (3, 3, 4), (None, 14, 14, 8)])
def test_kernels_that_no_mapping_can_handle_raise(shape):
    with pytest.raises(ValueError, match="Expected a "):
        LearnedSign().build(shape)


def test_a_second_kernel_raises(rng):
    quantizer = LearnedSign()
    quantizer(rng.normal(size=(3, 3, 4, 8)).astype("f"))
    with pytest.raises(ValueError, match="a separate LearnedSign"):
        quantizer(rng.normal(size=(3, 3, 8, 8)).astype("f"))


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_a_constant_kernel_has_finite_gradients(value):
    quantizer, latent = quantizer_on(np.full((3, 3, 4, 8), value, "f"))
    with tf.GradientTape() as tape:
        quantizer(latent, training=True)
        (loss,) = quantizer.losses
    assert np.abs(tape.gradient(loss, latent)).max() < 10


@pytest.mark.parametrize(
    "arguments",
    [{"noise_rate": False}, {"noise_rate": (0.1, True)}, {"weight": True}, {"clip_value": True}],
)
def test_booleans_in_place_of_numbers_raise(arguments):
    with pytest.raises(ValueError, match="Expected"):
        LearnedSign(**arguments)
