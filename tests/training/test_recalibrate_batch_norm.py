import larq as lq
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn

SHAPE = (6, 6, 3)


def model_with_dropout() -> keras.Model:
    x = image = keras.Input(SHAPE, name="image")
    x = keras.layers.Conv2D(8, 3, name="stem")(x)
    x = keras.layers.BatchNormalization(name="bn_1", scale=False)(x)
    x = keras.layers.Dropout(0.5)(x)
    x = lq.layers.QuantConv2D(
        4,
        3,
        input_quantizer="ste_sign",
        kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
    )(x)
    x = keras.layers.BatchNormalization(name="bn_2")(x)
    return keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(x)))


def inputs_of(model: keras.Model, name: str) -> keras.Model:
    return keras.Model(model.input, model.get_layer(name).input)


def test_the_first_statistics_are_those_of_all_images(rng):
    model = model_with_dropout()
    images = rng.normal(3, 2, (70, *SHAPE)).astype("f")
    kbnn.recalibrate_batch_norm(model, tf.data.Dataset.from_tensor_slices(images).batch(32))
    seen = inputs_of(model, "bn_1").predict(images, verbose=0)
    layer = model.get_layer("bn_1")
    np.testing.assert_allclose(layer.moving_mean, seen.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(layer.moving_variance, seen.var((0, 1, 2)), rtol=1e-4)


def test_later_statistics_see_hard_signs_behind_batch_statistics(rng):
    model = model_with_dropout()
    images = rng.normal(3, 2, (64, *SHAPE)).astype("f")
    kbnn.recalibrate_batch_norm(model, images)  # one batch: its statistics are the moving ones
    seen = inputs_of(model, "bn_2").predict(images, verbose=0)
    layer = model.get_layer("bn_2")
    assert set(np.unique(seen)) <= set(range(-72, 73))
    np.testing.assert_allclose(layer.moving_mean, seen.mean((0, 1, 2)), atol=0.1)
    np.testing.assert_allclose(layer.moving_variance, seen.var((0, 1, 2)), rtol=0.05)


def test_gamma_and_beta_take_part(rng):
    model = model_with_dropout()
    beta = model.get_layer("bn_1").beta
    images = rng.normal(size=(64, *SHAPE)).astype("f")
    beta.assign(np.full(8, 50.0))  # every sign becomes +1
    kbnn.recalibrate_batch_norm(model, images)
    np.testing.assert_allclose(model.get_layer("bn_2").moving_variance, 0, atol=1e-6)


def test_the_model_gets_better_and_nothing_else_changes(rng):
    """Moving statistics that were never updated are replaced by right ones."""
    model = model_with_dropout()
    images = rng.normal(5, 3, (64, *SHAPE)).astype("f")
    before = {weight.name: weight.numpy() for weight in model.weights}
    kbnn.recalibrate_batch_norm(model, images)
    changed = {w.name.split("/")[-1] for w in model.weights if (w.numpy() != before[w.name]).any()}
    assert changed == {"moving_mean:0", "moving_variance:0"}
    normalised = keras.Model(model.input, model.get_layer("bn_1").output)
    np.testing.assert_allclose(normalised.predict(images, verbose=0).std((0, 1, 2)), 1, rtol=1e-3)


@pytest.mark.parametrize("kind", ["array", "arrays", "tensor", "pairs", "triples", "generator"])
def test_kinds_of_data(rng, kind):
    model = model_with_dropout()
    images = rng.normal(1, 2, (32, *SHAPE)).astype("f")
    labels = np.zeros(32, "i")
    data = {
        "array": images,
        "arrays": (images, labels),
        "tensor": tf.constant(images),
        "pairs": tf.data.Dataset.from_tensor_slices((images, labels)).batch(32),
        "triples": tf.data.Dataset.from_tensor_slices((images, labels, labels)).batch(32),
        "generator": (images for _ in range(2)),
    }[kind]
    kbnn.recalibrate_batch_norm(model, data)
    seen = inputs_of(model, "bn_1").predict(images, verbose=0)
    np.testing.assert_allclose(model.get_layer("bn_1").moving_mean, seen.mean((0, 1, 2)), rtol=1e-4)


def test_steps(rng):
    model = model_with_dropout()
    batches = [np.full((4, *SHAPE), value, "f") for value in (1, 2, 1000)]
    kbnn.recalibrate_batch_norm(model, batches, steps=2)
    seen = inputs_of(model, "bn_1").predict(np.concatenate(batches[:2]), verbose=0)
    np.testing.assert_allclose(
        model.get_layer("bn_1").moving_mean, seen.mean((0, 1, 2)), rtol=1e-4, atol=1e-5
    )


def test_nested_and_shared(rng):
    x = keras.Input((4,))
    bn = keras.layers.BatchNormalization(name="shared")
    inner = keras.Model(x, bn(x), name="inner")
    a = keras.Input((4,))
    model = keras.Model(a, inner(inner(a) + 1.0))
    images = rng.normal(3, 2, (64, 4)).astype("f")
    kbnn.recalibrate_batch_norm(model, images)
    # Used twice: once on N(3, 4), once on standardised values plus 1.
    np.testing.assert_allclose(bn.moving_mean, (images.mean(0) + 1) / 2, rtol=1e-2)


def test_errors_leave_the_model_as_it_was(rng):
    model = model_with_dropout()
    before = [weight.numpy() for weight in model.weights]
    with pytest.raises(ValueError, match="no batch"):
        kbnn.recalibrate_batch_norm(model, [])
    with pytest.raises(ValueError, match="statistics of layer 'bn_1'"):
        kbnn.recalibrate_batch_norm(model, np.full((2, *SHAPE), np.nan, "f"))
    with pytest.raises(ValueError, match=r"fit the model's inputs.*a batch of \[\(2, 6, 6\)\]"):
        kbnn.recalibrate_batch_norm(model, np.zeros((2, 6, 6), "f"))
    for old, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, weight.numpy())
    with pytest.raises(ValueError, match="Expected a model with BatchNormalization"):
        kbnn.recalibrate_batch_norm(keras.Sequential([keras.Input((2,))]), [])


def test_a_global_mixed_precision_policy_does_not_matter(rng):
    model = model_with_dropout()
    images = rng.normal(3, 2, (64, *SHAPE)).astype("f")
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        kbnn.recalibrate_batch_norm(model, images)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    seen = inputs_of(model, "bn_1").predict(images, verbose=0)
    np.testing.assert_allclose(model.get_layer("bn_1").moving_mean, seen.mean((0, 1, 2)), rtol=1e-4)


def test_shifts_of_a_frozen_model_stay(rng):
    model = kbnn.models.resnet((1,), (8, 8, 3), 4, 8, reactnet=True)
    for layer in model.layers:
        if isinstance(layer, kbnn.layers.LearnedShift | kbnn.layers.RPReLU):
            layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    frozen = kbnn.converters.freeze(model)
    images = rng.normal(size=(64, 8, 8, 3)).astype("f")
    for one in (model, frozen):
        kbnn.recalibrate_batch_norm(one, images)
    np.testing.assert_allclose(frozen.predict(images), model.predict(images), atol=1e-5)
