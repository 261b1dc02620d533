"""The columns that compare a row with its formulas in NumPy."""

import itertools

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn.graph.larq_quantizers import quantizers_of
from tests.table.rows import LayerRow, ModelRow, QuantizerRow
from tests.table.small_network import moved_network, sample, single_layer_model, weights_by_name


def check_forward(row: ModelRow) -> None:
    """The outputs are NumPy's at inference and in training. `training` may be a tensor."""
    model = single_layer_model(row)
    x = sample(row.shape)
    for training, given in itertools.product((False, True), (bool, tf.constant)):
        expected = expected_output(row, model.layers[-1], x, training)
        found = model(x, training=given(training))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def expected_output(
    row: ModelRow, layer: keras.layers.Layer, x: np.ndarray, training: bool = False
) -> np.ndarray:
    formula = (training and row.training_forward) or row.forward
    return formula(x, **weights_by_name(layer))


def check_pseudo_gradient(row: QuantizerRow) -> None:
    """The gradient by input in training is the formula's."""
    model = single_layer_model(row)
    x = sample(row.shape)
    given = np.random.default_rng(1).normal(size=row.shape).astype("f")
    expected = given * row.gradient(x, **weights_by_name(model.layers[-1]))
    np.testing.assert_allclose(gradients(model, x, given)[0], expected, rtol=1e-4, atol=1e-5)


def check_gradient(row: LayerRow) -> None:
    """The gradients by input and weights in training are the numerical ones of NumPy's outputs."""
    model = single_layer_model(row)
    layer = model.layers[-1]
    formula = row.training_forward or row.forward
    x = np.random.default_rng(0).normal(size=row.shape)
    given = np.random.default_rng(1).normal(size=layer.output_shape)
    arguments = {name: value.astype(float) for name, value in weights_by_name(layer).items()}

    def loss(name: str, value: np.ndarray) -> float:
        changed = {"x": x, **arguments, name: value}
        return float(np.sum(given * formula(changed.pop("x"), **changed)))

    names = [weight.name.split("/")[-1].split(":")[0] for weight in layer.trainable_weights]
    for name, gradient in zip(["x", *names], gradients(model, x, given), strict=True):
        value = x if name == "x" else arguments[name]
        steps = 1e-6 * np.eye(value.size).reshape(-1, *value.shape)
        expected = [(loss(name, value + d) - loss(name, value - d)) / 2e-6 for d in steps]
        np.testing.assert_allclose(np.ravel(gradient), expected, rtol=1e-3, atol=1e-4, err_msg=name)


def gradients(model: keras.Model, x: np.ndarray, given: np.ndarray) -> list[tf.Tensor]:
    """Return the gradients by input and trainable weights for a gradient by output."""
    x = tf.constant(x, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = model(x, training=True)
    return tape.gradient(y, [x, *model.trainable_weights], tf.cast(given, y.dtype))


def check_larq_layer(row: QuantizerRow) -> None:
    """A Larq layer with the quantizer is a convolution of NumPy's quantized input and kernel."""
    layer = moved_network(row).get_layer("conv")
    (kernel,) = layer.get_weights()[:1]
    x = sample((2, 4, 4, 32))
    values = {"input": x, "kernel": kernel}
    for role in row.roles:
        values[role] = expected_output(row, quantizers_of(layer)[f"{role}_quantizer"], values[role])
    for role in {"input", "kernel"} - set(row.roles):
        values[role] = np.where(values[role] >= 0, 1.0, -1.0)
    padded = np.pad(values["input"], [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=1.0)
    expected = tf.nn.conv2d(padded.astype("f"), values["kernel"].astype("f"), 1, "VALID")
    np.testing.assert_allclose(layer(x), expected, rtol=1e-4, atol=1e-4)
