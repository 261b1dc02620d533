"""ContrastiveSign: its outputs, its term, and what it freezes to."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from kbnn.quantizers import ContrastiveSign, LearnedSign, SmoothSign
from kbnn.techniques import MemoryBank
from tests.techniques.short_training import CLASSES, SHAPE, learnable_images


@pytest.fixture(scope="module")
def data():
    return learnable_images(64)


@pytest.mark.parametrize(
    "base",
    ["ste_sign", "approx_sign", SmoothSign(3.0), SmoothSign(3.0, True), lq.quantizers.DoReFa(2)],
)
@pytest.mark.parametrize("training", [False, True])
def test_outputs_and_gradients_without_weight_are_those_of_the_base(rng, base, training):
    plain, wrapped = kbnn.quantizers.clone(base, "plain"), ContrastiveSign(base, weight=0.0)
    assert wrapped.precision == plain.precision
    x = tf.Variable(rng.normal(size=(6, 3, 3, 4)).astype("f"))
    results = []
    for quantizer in (plain, wrapped):
        with tf.GradientTape() as tape:
            y = quantizer(x + 0.0, training=training)
            total = tf.add_n([tf.reduce_sum(y * x), *quantizer.losses])
        results.append((y, tape.gradient(total, x)))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_term_sees_outputs_and_inputs_of_the_same_pass(rng):
    x = tf.constant(rng.normal(size=(6, 3, 3, 4)).astype("f"))
    for base in ("ste_sign", SmoothSign(2.0)):
        quantizer = ContrastiveSign(base, weight=2.0)
        quantizer(x)
        term = quantizer.contrast
        outputs = quantizer.base(x, training=True)
        expected = kbnn.losses.info_nce_loss(
            term.binary_head(outputs), term.real_head(x), temperature=term.temperature
        )
        quantizer(x, training=True)
        assert float(quantizer.losses[0]) == pytest.approx(2 * np.mean(expected), rel=1e-5)


@pytest.mark.parametrize(
    ("base", "kind"),
    [
        ("ste_sign", lq.quantizers.SteSign),
        ("approx_sign", lq.quantizers.SteSign),
        (SmoothSign(), lq.quantizers.SteSign),
        (lq.quantizers.DoReFa(2), lq.quantizers.DoReFa),
    ],
)
def test_it_freezes_to_what_its_base_does_under_its_own_name(base, kind):
    frozen = ContrastiveSign(base, name="a_name").frozen_quantizer()
    assert type(frozen) is kind
    assert frozen.name == "a_name"
    assert frozen.dtype == "float32"


@pytest.mark.parametrize(
    ("base", "kernel_quantizer", "normalization"),
    [
        pytest.param("ste_sign", LearnedSign(), "batch", marks=pytest.mark.slow),
        pytest.param(SmoothSign(), "ste_sign", "batch", marks=pytest.mark.slow),
        pytest.param(SmoothSign(), SmoothSign(), "binary", marks=pytest.mark.slow),
        ("ste_sign", LearnedSign(), "binary"),
    ],
)
def test_it_trains_and_ships_with_the_other_techniques(
    base, kernel_quantizer, normalization, data, tmp_path
):
    model = kbnn.models.vgg_tiny(
        *(SHAPE, CLASSES, 8),
        input_quantizer=base,
        kernel_quantizer=kernel_quantizer,
        normalization=normalization,
    )
    model = kbnn.techniques.with_contrast(model)
    # Tracing takes most of the time of a short training; one normalization is traced.
    model.compile(
        keras.optimizers.Adam(0.01),
        "sparse_categorical_crossentropy",
        run_eagerly=normalization == "binary",
    )
    is_smooth = SmoothSign in (type(base), type(kernel_quantizer))
    schedule = [kbnn.callbacks.SharpnessSchedule(1.0, 3.0)] if is_smooth else []
    history = model.fit(
        *data, validation_data=data, epochs=2, verbose=0, callbacks=schedule
    ).history
    assert np.isfinite([*history["loss"], *history["val_loss"]]).all()
    # Validation measures the network without the term.
    measured = model.evaluate(*data, verbose=0)
    expected = keras.losses.SparseCategoricalCrossentropy()(data[1], model(data[0]))
    assert measured == pytest.approx(float(expected), rel=1e-4)
    assert history["val_loss"][-1] == pytest.approx(measured, rel=1e-4)
    if is_smooth:
        kbnn.techniques.smooth_network(model)(data[0])
    frozen = kbnn.converters.freeze(model)
    np.testing.assert_allclose(frozen(data[0]), model(data[0]), atol=1e-4)
    assert not any(isinstance(module, kbnn.layers.ContrastiveTerm) for module in frozen.submodules)
    report = kbnn.converters.convert(model, tmp_path / "model.tflite", verify_data=data).report
    assert report.parity.samples == len(data[0])


def test_the_sharpness_of_a_smooth_base_is_scheduled_and_watched(data):
    model = kbnn.models.vgg_tiny(SHAPE, CLASSES, 8, input_quantizer=SmoothSign(1.0))
    model = kbnn.techniques.with_contrast(model)
    model.compile("adam", "sparse_categorical_crossentropy", run_eagerly=True)
    callbacks = [
        kbnn.callbacks.SharpnessSchedule(1.0, 4.0, quantizers="input"),
        kbnn.callbacks.BinarizationMonitor(data[0][:8]),
    ]
    history = model.fit(*data, epochs=2, verbose=0, callbacks=callbacks).history
    assert float(model.get_layer("conv_3").input_quantizer.base.sharpness) == pytest.approx(4.0)
    assert {"conv_2/input_residual", "conv_3/input_residual"} <= history.keys()


def test_the_state_of_a_base_survives_the_freeze():
    class Shifted(lq.quantizers.Quantizer):
        precision = 2

        def build(self, input_shape):
            self.shift = self.add_weight("shift", (), initializer="zeros")
            super().build(input_shape)

        def call(self, inputs):
            return lq.math.sign(inputs + self.shift)

    keras.utils.register_keras_serializable("test_contrastive_sign")(Shifted)
    image = keras.Input((8, 8, 4))
    layer = lq.layers.QuantConv2D(
        2, 3, input_quantizer=ContrastiveSign(Shifted()), kernel_quantizer=None, name="conv"
    )
    model = keras.Model(image, layer(image))
    layer.input_quantizer.base.shift.assign(0.75)
    frozen = kbnn.converters.freeze(model).get_layer("conv").input_quantizer
    assert type(frozen) is Shifted
    assert float(frozen.shift) == 0.75


def test_a_kernel_is_refused():
    options = {"kernel_quantizer": ContrastiveSign(), "kernel_constraint": "weight_clip"}
    image = keras.Input((8, 8, 3))
    x = lq.layers.QuantConv2D(4, 3, input_quantizer="ste_sign", name="conv", **options)(image)
    model = keras.Model(image, x)
    model.compile("sgd", "mse")
    monitor = [kbnn.callbacks.ContrastMonitor()]
    for take in (
        kbnn.trainers.Trainer,
        kbnn.techniques.with_contrast,
        kbnn.converters.freeze,
        lambda model: model.fit(np.ones((4, 8, 8, 3)), np.ones((4, 6, 6, 4)), callbacks=monitor),
    ):
        with pytest.raises(ValueError, match=r"an input quantizer.*\(3, 3, 3, 4\), 'conv/kernel'"):
            take(model)
    model = kbnn.models.vgg_tiny(SHAPE, CLASSES, 8)
    with pytest.raises(ValueError, match=r"a kernel of shape \(3, 3, 8, 16\), of layer 'conv_1'"):
        kbnn.requantize(model, kernel_quantizer="contrastive_sign")


def test_an_activation_of_a_known_batch_is_no_kernel():
    dense = lq.layers.QuantDense(4, activation=ContrastiveSign(), kernel_quantizer="ste_sign")
    dense(np.ones((2, 3), "f"))
    inputs = keras.Input(batch_shape=(8, 6))
    x = lq.layers.QuantDense(5, activation=lq.quantizers.SteSign(), name="signed")(inputs)
    x = lq.layers.QuantDense(3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip")(x)
    model = kbnn.techniques.with_contrast(keras.Model(inputs, x))
    model(np.ones((8, 6), "f"), training=True)
    assert float(model.losses[0]) > 0


@pytest.mark.parametrize("base", [None, ContrastiveSign(), "contrastive_sign", 3])
def test_an_invalid_base_is_refused(base):
    with pytest.raises(TypeError, match=r"Expected `(base|quantizer)` to be"):
        ContrastiveSign(base)
    with pytest.raises(TypeError, match="no_such"):
        ContrastiveSign(no_such=1)


def test_a_clone_has_the_options_and_heads_of_its_own():
    one = ContrastiveSign("approx_sign", negatives=MemoryBank(rows=9, count=5), temperature=0.3)
    two = kbnn.quantizers.clone(one, "two")
    config = {**one.get_config(), "name": "two"}
    config["base"]["config"]["name"] = "two_base"
    assert two.get_config() == config
    assert type(two.base) is lq.quantizers.ApproxSign
    assert two.contrast is not one.contrast
