"""The graph rewrite: every shape of model, weights carried, sharing kept."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from kbnn.graph import REMOVE, Replacement, layers_of, rewrite


def nested_and_shared() -> keras.Model:
    """Two inputs, two outputs, a layer and two models used several times, operators, a dict-free
    call with a keyword argument."""
    shared = keras.layers.Dense(4, name="shared")
    x = keras.Input((4,))
    inner = keras.Model(x, keras.layers.ReLU(name="relu")(shared(x)), name="inner")
    deep = keras.Sequential([keras.Input((4,)), inner, keras.layers.Dense(4)], name="deep")
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    left = deep(a) + shared(b)
    right = deep(b) * 2.0 + inner(left, training=False)
    both = keras.layers.Concatenate()([left, right])
    return keras.Model([a, b], [both, right], name="outer")


def test_identical_copy_of_a_nested_shared_model(rng):
    model = nested_and_shared()
    copy = rewrite(model, lambda layer: None)
    inputs = [rng.normal(size=(3, 4)).astype("f") for _ in range(2)]
    for old, new in zip(model.predict(inputs), copy.predict(inputs), strict=True):
        np.testing.assert_array_equal(old, new)
    assert (copy.name, copy.input_names) == (model.name, model.input_names)
    assert [layer.name for layer in copy.layers] == [layer.name for layer in model.layers]
    # Shared layers stay shared: as many weights, and none of them the original's.
    assert len(copy.weights) == len(model.weights) == 4
    assert not {id(weight) for weight in copy.weights} & {id(weight) for weight in model.weights}


def test_each_layer_is_offered_once_and_nested_ones_are_replaced(rng):
    model = nested_and_shared()
    offered = []

    def replace(layer):
        offered.append(layer.name)
        return keras.layers.Activation("tanh", name="relu") if layer.name == "relu" else None

    copy = rewrite(model, replace, name="smooth")
    assert copy.name == "smooth"
    assert len(offered) == len(set(offered))
    assert {"shared", "relu"} <= set(offered)
    kernel, bias = model.get_layer("shared").get_weights()
    x = rng.normal(size=(5, 4)).astype("f")
    np.testing.assert_allclose(
        copy.get_layer("inner")(x), np.tanh(x @ kernel + bias), rtol=1e-5, atol=1e-6
    )


def test_the_given_model_is_left_as_it_is():
    model = nested_and_shared()
    before = model.to_json(), [weight.numpy() for weight in model.weights]
    copy = rewrite(model, lambda layer: None)
    for weight in copy.weights:
        weight.assign(tf.ones_like(weight))
    assert model.to_json() == before[0]
    for weight, value in zip(model.weights, before[1], strict=True):
        np.testing.assert_array_equal(weight, value)


def test_a_layer_is_removed():
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.ReLU(name="relu"), keras.layers.Dense(2)]
    )
    copy = rewrite(model, lambda layer: REMOVE if layer.name == "relu" else None)
    assert [layer.name for layer in layers_of(copy)][1:] == [model.layers[-1].name]
    x = np.array([[-1.0, 0.0, 2.0]], "f")
    np.testing.assert_allclose(copy(x), x @ model.get_weights()[0], rtol=1e-6)


def test_a_layer_becomes_a_model_with_given_weights():
    """`keras.models.clone_model` never returns from this one."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="dense")])
    kernel, bias = model.get_weights()

    def replace(layer):
        small = keras.Sequential(
            [
                keras.Input((3,)),
                keras.layers.Reshape((1, 1, 3)),
                keras.layers.Conv2D(2, 1),
                keras.layers.Reshape((2,)),
            ]
        )
        return Replacement(small, [kernel[None, None], bias + 1.0])

    x = np.array([[-1.0, 0.5, 2.0]], "f")
    np.testing.assert_allclose(rewrite(model, replace)(x), model(x) + 1.0, rtol=1e-6)


def test_weights_are_carried_by_name_to_another_class():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="dense")])
    model.set_weights([np.arange(6.0).reshape(3, 2), np.array([7.0, 8.0])])
    copy = rewrite(
        model, lambda layer: lq.layers.QuantDense(2, kernel_quantizer="ste_tern", name="dense")
    )
    np.testing.assert_array_equal(copy.get_weights()[0], model.get_weights()[0])
    np.testing.assert_array_equal(copy.get_weights()[1], model.get_weights()[1])


def test_dictionary_inputs_keep_their_keys():
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    model = keras.Model({"a": a, "b": b}, {"sum": a + b, "difference": a - b})
    outputs = rewrite(model, lambda layer: None)({"b": np.ones((1, 2)), "a": np.zeros((1, 2))})
    assert set(outputs) == {"sum", "difference"}
    np.testing.assert_array_equal(outputs["difference"], -np.ones((1, 2)))


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


def test_subclassed_and_unbuilt_models_are_refused():
    with pytest.raises(TypeError, match=r"Expected a functional.*Received: model='odd', a subcl"):
        rewrite(Subclassed(name="odd"), lambda layer: None)
    x = keras.Input((2,))
    with pytest.raises(TypeError, match=r"Received: model/odd='odd', a subclassed"):
        rewrite(keras.Model(x, Subclassed(name="odd")(x)), lambda layer: None)
    with pytest.raises(ValueError, match="Expected a built model"):
        rewrite(keras.Sequential([keras.layers.Dense(2)]), lambda layer: None)
    with pytest.raises(TypeError, match="Expected `model` to be a Keras 2 model"):
        rewrite("model", lambda layer: None)


def test_a_layer_can_be_added_behind_one(rng):
    model = nested_and_shared()

    def replace(layer):
        if layer.name != "shared":
            return None
        copy = type(layer).from_config(layer.get_config())
        return Replacement(copy, layer.get_weights(), then=keras.layers.Rescaling(0.0))

    copy = rewrite(model, replace)
    both, _ = copy.predict([rng.normal(size=(3, 4)).astype("f") for _ in range(2)])
    assert len(copy.weights) == len(model.weights)
    # What follows `shared` sees zeros, in each of its uses, so only biases are left: all zero.
    np.testing.assert_array_equal(both, np.zeros((3, 8)))
