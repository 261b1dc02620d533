"""The columns of `fit`: plain, mixed precision, XLA, two devices, determinism, Larq's Bop."""

import os

import larq as lq
import numpy as np
import tensorflow as tf
import tf_keras as keras
from tensorflow.python.framework.config import is_op_determinism_enabled  # not in tf.config

from tests.table.formula_columns import expected_output
from tests.table.fresh_process import assert_equal_replicas, call_in_fresh_process, strategy
from tests.table.rows import ModelRow, QuantizerRow
from tests.table.small_network import (
    deterministic_operations,
    images,
    network,
    policy,
    sample,
    single_layer_model,
    train,
)


def check_fit(row: ModelRow) -> None:
    """`fit` with Adam changes all trainable weights, and its validation equals `evaluate`."""
    model = network(row)
    x, y = images()
    before = [weight.numpy() for weight in model.trainable_weights]
    metrics = [keras.metrics.SparseCategoricalAccuracy()]
    adam = keras.optimizers.Adam(0.01)
    history = train(model, optimizer=adam, metrics=metrics, validation_data=(x, y)).history
    assert_trained(model, before, history)
    evaluated = model.evaluate(x, y, verbose=0, return_dict=True)
    for name, value in evaluated.items():
        np.testing.assert_allclose(history[f"val_{name}"][-1], value, rtol=1e-5, err_msg=name)


def assert_trained(model: keras.Model, before: list[np.ndarray], history: dict) -> None:
    assert all(np.isfinite(values).all() for values in history.values()), history
    assert all(np.isfinite(value).all() for value in model.get_weights())
    for weight, value in zip(model.trainable_weights, before, strict=True):
        assert (weight.numpy() != value).any(), f"{weight.name} has not changed"


def check_mixed_float16(row: ModelRow) -> None:
    _check_mixed(row, "float16", 1e-2)


def check_mixed_bfloat16(row: ModelRow) -> None:
    _check_mixed(row, "bfloat16", 5e-2)


def _check_mixed(row: ModelRow, dtype: str, tolerance: float) -> None:
    """Outputs in half precision are NumPy's for rounded inputs, with equal signs; `fit` works."""
    with policy(f"mixed_{dtype}"):
        single, model = single_layer_model(row), network(row)
    assert single.output.dtype == model.get_layer("conv").output.dtype == dtype
    x = tf.cast(sample(row.shape), dtype)
    expected = expected_output(row, single.layers[-1], tf.cast(x, "float32").numpy())
    found = tf.cast(single(x), "float32")
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    if isinstance(row, QuantizerRow):
        np.testing.assert_array_equal(np.sign(found), np.sign(expected))
    before = [weight.numpy() for weight in model.trainable_weights]
    assert_trained(model, before, train(model).history)


def check_jit_compile(row: ModelRow) -> None:
    """XLA compiles training and inference, with the same outputs."""
    model = network(row)
    before = [weight.numpy() for weight in model.trainable_weights]
    assert_trained(model, before, train(model, jit_compile=True).history)
    x, _ = images()
    np.testing.assert_allclose(model.predict(x, verbose=0), model(x), rtol=1e-4, atol=1e-4)


def check_jit_compile_as_usual(row: ModelRow) -> None:
    """The same, in a process in which XLA optimizes as it does for users."""
    assert "XLA_FLAGS" not in os.environ
    check_jit_compile(row)


def check_mirrored(row: ModelRow) -> None:
    """`fit` on two virtual CPUs works. One process, with one strategy, serves all rows."""
    call_in_fresh_process(train_on_two_replicas, row=row)


def train_on_two_replicas(row: ModelRow) -> None:
    """Train on two replicas, whose weights must stay equal."""
    with strategy().scope():
        model = network(row)
        history = train(model).history
    assert np.isfinite(history["loss"]).all(), history
    assert_equal_replicas(model)


def check_determinism(row: ModelRow) -> None:
    """The same seed gives the same weights."""
    with deterministic_operations():
        check_repetition(row)


def check_repetition(row: ModelRow) -> None:
    """Two trainings give the same weights. Operations have to be deterministic."""
    assert is_op_determinism_enabled()
    first, second = (_trained_weights(row) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def _trained_weights(row: ModelRow) -> list[np.ndarray]:
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    model = network(row)
    train(model)
    return model.get_weights()


def check_bop(row: ModelRow) -> None:
    """Larq's Bop, in a CaseOptimizer, flips the binary weights that its formula gives.

    The kernel quantizer is the row's, or the one of Bop's documentation, which only marks weights
    as binary.
    """
    roles = row.roles if isinstance(row, QuantizerRow) else ("input",)
    for role in roles:
        marked = {"kernel_quantizer": lq.quantizers.NoOp(precision=1)}
        _check_bop_step(network(row, **marked if role == "input" else {}))


def _check_bop_step(model: keras.Model) -> None:
    gamma, threshold = 1e-2, 1e-6
    kernel = model.get_layer("conv").kernel
    kernel.assign(np.sign(np.random.default_rng(0).normal(size=kernel.shape)))
    before = model.get_weights()
    old = kernel.numpy()
    x, y = images()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with tf.GradientTape() as tape:
        total = tf.add_n([loss(y, model(x, training=True)), *model.losses])
    signal = old * gamma * tape.gradient(total, kernel.latent_variable) - threshold
    # The call above may have changed weights of batch normalization and quantizers.
    model.set_weights(before)
    bop = lq.optimizers.Bop(threshold=threshold, gamma=gamma)
    optimizer = lq.optimizers.CaseOptimizer(
        (lq.optimizers.Bop.is_binary_variable, bop),
        default_optimizer=keras.optimizers.legacy.SGD(0.01),
    )
    model.compile(optimizer, loss)
    model.fit(x, y, batch_size=len(x), verbose=0)
    decided = np.abs(signal) > 1e-8
    expected = np.where(signal > 0, -old, old)
    np.testing.assert_array_equal(kernel.numpy()[decided], expected[decided])
