"""The behaviour of Larq that kbnn relies on, each in the smallest example."""

import contextlib
import re

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from larq import context

from kbnn import _larq

SIGNS = {
    "ste_sign": _larq.SteSign,
    "approx_sign": _larq.ApproxSign,
    "swish_sign": _larq.SwishSign,
}
EDGES = tf.constant([-2.0, -1e-30, -0.0, 0.0, 1e-30, 2.0])


def signs(x):
    """The sign with sign(0) = +1, in NumPy."""
    return np.where(np.asarray(x) < 0, -1.0, 1.0).astype("float32")


def quantized_convolution(kernel, size=(5, 5), **options):
    """A binary convolution of which the latent kernel is known."""
    layer = _larq.QuantConv2D(
        kernel.shape[-1],
        kernel.shape[:2],
        input_quantizer="ste_sign",
        kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
        use_bias=False,
        **options,
    )
    layer.build((None, *size, kernel.shape[2]))
    layer.set_weights([kernel])
    return layer


@pytest.mark.parametrize("sign", [_larq.sign, _larq.ste_sign, *SIGNS.values()])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_sign_of_zero_is_plus_one(sign, dtype):
    x = tf.cast(EDGES, dtype)
    found = sign(dtype=dtype)(x) if isinstance(sign, type) else sign(x)
    assert found.dtype == dtype
    # 1e-30 is 0 in float16, and so is -1e-30.
    np.testing.assert_array_equal(tf.cast(found, "float32"), signs(tf.cast(x, "float32")))


def test_the_gradients_of_the_signs():
    x = tf.constant([-1.5, -1.0, -0.25, 0.0, 0.5, 1.0, 1.5])

    def gradient(function):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return tape.gradient(y, x).numpy()

    inside = np.abs(x) <= 1
    np.testing.assert_array_equal(gradient(_larq.SteSign()), inside)
    np.testing.assert_array_equal(gradient(lambda x: _larq.ste_sign(x, 0.5)), np.abs(x) <= 0.5)
    np.testing.assert_array_equal(gradient(_larq.SteSign(clip_value=None)), np.ones(7))
    np.testing.assert_allclose(gradient(_larq.ApproxSign()), inside * (2 - 2 * np.abs(x)))
    bx = 5 * x.numpy()
    expected = 5 * (2 - bx * np.tanh(bx / 2)) / (1 + np.cosh(bx))
    np.testing.assert_allclose(gradient(_larq.SwishSign()), expected, rtol=1e-5)


def test_the_magnitude_aware_sign_scales_each_filter(rng):
    kernel = rng.normal(size=(3, 3, 4, 2)).astype("float32")
    expected = signs(kernel) * np.abs(kernel).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(_larq.MagnitudeAwareSign()(kernel), expected, rtol=1e-6)


def test_no_op_changes_nothing_and_keeps_its_precision():
    marker = _larq.NoOp(precision=1, name="marker")
    np.testing.assert_array_equal(marker(EDGES), EDGES)
    config = _larq.serialize_quantizer(marker)
    copy = _larq.get_quantizer(config)
    assert (type(copy), copy.precision, copy.name) == (_larq.NoOp, 1, "marker")


def test_precision_is_an_attribute_of_the_quantizer():
    assert _larq.Quantizer.precision is None
    for kind in (*SIGNS.values(), _larq.MagnitudeAwareSign):
        assert issubclass(kind, _larq.Quantizer)
        assert issubclass(kind, keras.layers.Layer)
        assert kind().precision == 1
    for name, precision in (("ste_heaviside", 1), ("ste_tern", 2), ("dorefa_quantizer", 2)):
        assert _larq.get_quantizer(name).precision == precision


def test_a_quantizer_without_variables_owns_no_weights(rng):
    quantizer = _larq.SteSign()
    quantizer(rng.normal(size=(2, 3)))
    assert quantizer.weights == []


@pytest.mark.parametrize("name", SIGNS)
def test_a_quantizer_is_found_by_its_names(name):
    kind = SIGNS[name]
    for given in (name, kind.__name__):
        assert type(_larq.get_quantizer(given)) is kind
        assert keras.utils.get_custom_objects()[given] is kind
    assert _larq.get_quantizer(None) is None
    quantizer = kind(name="one")
    assert _larq.get_quantizer(quantizer) is quantizer


@pytest.mark.parametrize("legacy", [False, True])
def test_a_quantizer_survives_serialization(legacy):
    quantizer = _larq.SteSign(clip_value=0.5, name="one", dtype="float32")
    config = (
        keras.utils.legacy.serialize_keras_object(quantizer)
        if legacy
        else _larq.serialize_quantizer(quantizer)
    )
    copy = _larq.get_quantizer(config)
    assert copy is not quantizer
    assert copy.get_config() == quantizer.get_config()
    assert config["class_name"] == "SteSign"
    assert config["config"]["clip_value"] == 0.5


def test_an_unknown_quantizer_is_refused():
    with pytest.raises(ValueError, match="no_such_sign"):
        _larq.get_quantizer("no_such_sign")


def test_an_alias_registers_a_class_under_its_bare_name():
    @_larq.register_alias("sign_of_this_test")
    class SignOfThisTest(_larq.Quantizer):
        pass

    try:
        assert type(_larq.get_quantizer("sign_of_this_test")) is SignOfThisTest
    finally:
        del keras.utils.get_custom_objects()["sign_of_this_test"]


def test_the_kernel_is_latent_outside_the_scope_and_quantized_inside(rng):
    latent = rng.normal(size=(3, 3, 2, 4)).astype("float32")
    layer = quantized_convolution(latent)
    assert not context.should_quantize()
    np.testing.assert_array_equal(tf.convert_to_tensor(layer.kernel), latent)
    with _larq.quantized_scope(True):
        assert context.should_quantize()
        np.testing.assert_array_equal(tf.convert_to_tensor(layer.kernel), signs(latent))
        np.testing.assert_array_equal(layer.get_weights()[0], signs(latent))
        with _larq.quantized_scope(False):
            np.testing.assert_array_equal(tf.convert_to_tensor(layer.kernel), latent)
        assert context.should_quantize()
    assert not context.should_quantize()
    np.testing.assert_array_equal(layer.kernel.latent_variable, latent)
    assert layer.kernel.precision == 1
    assert len(layer.weights) == 1


def test_larq_s_scopes_are_left_after_an_error():
    """Otherwise the next training would replace latent weights by their signs."""
    layer = _larq.QuantConv2D(8, 3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip")
    with pytest.raises(ValueError, match=r"[Nn]egative dimension|smaller"):
        layer(keras.Input((2, 2, 8)))
    assert not context.should_quantize()
    for scope in (context.quantized_scope, _larq.quantized_scope):
        with contextlib.suppress(KeyError), scope(True):
            assert context.should_quantize()
            raise KeyError
        assert not context.should_quantize()
    with contextlib.suppress(KeyError), context.metrics_scope(["flip_ratio"]):
        raise KeyError
    assert not context.get_training_metrics()


def test_training_changes_the_latent_kernel_through_the_pseudo_gradient():
    latent = np.array([[0.5], [-0.25], [2.0]], "float32")
    layer = _larq.QuantDense(1, kernel_quantizer="ste_sign", use_bias=False)
    layer.build((None, 3))
    layer.set_weights([latent])
    with tf.GradientTape() as tape:
        y = layer(tf.constant([[1.0, 2.0, 3.0]]))
    np.testing.assert_array_equal(y, [[1.0 - 2.0 + 3.0]])
    (gradient,) = tape.gradient(y, layer.trainable_variables)
    np.testing.assert_array_equal(gradient, [[1.0], [2.0], [0.0]])  # 2.0 is beyond the clip value
    keras.optimizers.SGD(0.5).apply_gradients([(gradient, layer.trainable_variables[0])])
    np.testing.assert_array_equal(layer.kernel, [[0.0], [-1.25], [2.0]])


@pytest.mark.parametrize("pad_values", [0.0, 1.0, -1.0])
@pytest.mark.parametrize(("size", "strides"), [(5, 1), (5, 2), (6, 1), (6, 2)])
def test_a_binary_convolution_pads_its_signs_as_same_does(rng, pad_values, size, strides):
    kernel = rng.normal(size=(3, 3, 2, 4)).astype("float32")
    x = rng.normal(size=(2, size, size, 2)).astype("float32")
    layer = quantized_convolution(
        kernel, (size, size), padding="same", strides=strides, pad_values=pad_values
    )
    assert layer.pad_values == pad_values
    assert layer.get_config()["pad_values"] == pad_values
    total = max((-(-size // strides) - 1) * strides + 3 - size, 0)
    sides = (total // 2, total - total // 2)
    padded = np.pad(signs(x), [(0, 0), sides, sides, (0, 0)], constant_values=pad_values)
    expected = tf.nn.conv2d(padded, signs(kernel), strides, "VALID")
    np.testing.assert_array_equal(layer(x), expected)


@pytest.mark.parametrize(
    ("kind", "arguments", "shape", "kernel"),
    [
        (_larq.QuantConv1D, (3, 2), (5, 2), (2, 2, 3)),
        (_larq.QuantConv3D, (3, 2), (3, 3, 3, 2), (2, 2, 2, 2, 3)),
        (_larq.QuantDense, (3,), (4,), (4, 3)),
    ],
)
def test_other_layers_compute_on_signs(rng, kind, arguments, shape, kernel):
    layer = kind(*arguments, input_quantizer="ste_sign", kernel_quantizer="ste_sign")
    assert isinstance(layer, _larq.BaseLayer)
    layer.build((None, *shape))
    x = rng.normal(size=(2, *shape)).astype("float32")
    latent = rng.normal(size=kernel).astype("float32")
    bias = rng.normal(size=3).astype("float32")
    layer.set_weights([latent, bias])
    found = layer(x)
    real = (
        kind.__mro__[-1] if kind is None else getattr(keras.layers, kind.__name__[5:])(*arguments)
    )
    real.build((None, *shape))
    real.set_weights([signs(latent), bias])
    np.testing.assert_allclose(found, real(signs(x)), rtol=1e-6)


def test_a_layer_keeps_its_quantizers_through_its_configuration():
    layer = quantized_convolution(np.ones((1, 1, 2, 2), "float32"), pad_values=1.0, padding="same")
    copy = _larq.QuantConv2D.from_config(layer.get_config())
    assert isinstance(copy, _larq.BaseLayer)
    for argument in ("input_quantizer", "kernel_quantizer"):
        assert type(getattr(copy, argument)) is _larq.SteSign
    assert copy.pad_values == 1.0
    assert isinstance(copy.kernel_constraint, _larq.WeightClip)


def test_weight_clip_clips_to_one():
    np.testing.assert_array_equal(_larq.WeightClip()(EDGES), np.clip(EDGES, -1, 1))


def test_the_summary_counts_binary_multiplications():
    binary = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    model = keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            _larq.QuantConv2D(8, 3, name="first", **binary),
            _larq.QuantConv2D(8, 1, name="second", input_quantizer="ste_sign", **binary),
        ]
    )
    lines = []
    _larq.larq_summary(model, print_fn=lines.append)
    text = "\n".join(lines)
    assert re.search(r"first +- +\(-1, 2, 2, 8\) +144 +8", text)
    assert re.search(r"second +1 +\(-1, 2, 2, 8\) +64 +8", text)
    share = 2 * 2 * 8 * 8 / (2 * 2 * 8 * 8 + 2 * 2 * 3 * 3 * 2 * 8)
    assert f"binarized  {share:.4f}" in text
