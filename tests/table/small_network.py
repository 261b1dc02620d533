"""The models that the columns test: a row's quantizer or layer, by itself and in a network."""

import contextlib
from collections.abc import Iterator
from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf
import tf_keras as keras
from tensorflow.python.framework.config import disable_op_determinism  # not in tf.config

from kbnn.graph.larq_quantizers import quantizers_of, weights_without_quantizers
from tests.table.rows import LayerRow, ModelRow, QuantizerRow

CLASSES = 3


@contextlib.contextmanager
def deterministic_operations() -> Iterator[None]:
    """Make TensorFlow's operations deterministic inside the block."""
    tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        disable_op_determinism()


@contextlib.contextmanager
def policy(name: str) -> Iterator[None]:
    """Layers that are created inside the block get a dtype policy, and keep it."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def single_layer_model(row: ModelRow) -> keras.Model:
    """Return a model of only the row's quantizer or layer.

    A model passes `training` to those layers whose `call` takes it.
    """
    batch, *shape = row.shape
    x = keras.Input(shape, batch_size=batch, dtype="float32")
    model = keras.Model(x, row.make()(x))
    randomise(model)
    return model


def network(row: ModelRow, **quantizers: Any) -> keras.Model:
    """Return a network with a real stem, a binary convolution named `conv`, and logits.

    A row's layer comes before the convolution or before the stem. A row's quantizer is in the
    convolution, in all its roles. `quantizers` replace the row's; the default is `ste_sign`.
    """
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
    if isinstance(row, QuantizerRow):
        quantizers = {f"{role}_quantizer": row.make() for role in row.roles} | quantizers
    layer = row.make() if isinstance(row, LayerRow) else None
    takes_images = isinstance(row, LayerRow) and row.takes_images
    x = image = keras.Input((8, 8, 3), name="image")
    if layer is not None and takes_images:
        x = layer(x)
    x = keras.layers.Conv2D(32, 3, 2, padding="same", use_bias=False, name="stem")(x)
    x = keras.layers.BatchNormalization(name="stem_bn")(x)
    if layer is not None and not takes_images:
        x = layer(x)
    x = lq.layers.QuantConv2D(
        32,
        3,
        padding="same",
        pad_values=1.0,
        use_bias=False,
        kernel_constraint="weight_clip",
        name="conv",
        **signs | quantizers,
    )(x)
    x = keras.layers.BatchNormalization(name="conv_bn")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dense(CLASSES, dtype="float32", name="logits")(x)
    return keras.Model(image, x)


def moved_network(row: ModelRow) -> keras.Model:
    """Return a network in which no weight, also of quantizers, has its initial value."""
    model = network(row)
    randomise(model)
    for quantizer in model_quantizers(model):
        for weight in state(quantizer):
            if weight.dtype.is_floating:
                weight.assign(1.25 * weight + 0.125)
    return model


def randomise(model: keras.Model) -> None:
    """Set all weights to random values, except the quantizers' weights."""
    rng = np.random.default_rng(0)
    layers = [layer for layer in model.layers if not isinstance(layer, lq.quantizers.Quantizer)]
    for weight in (weight for layer in layers for weight in weights_without_quantizers(layer)):
        if weight.name.endswith("moving_variance:0"):
            weight.assign(rng.uniform(0.5, 2.0, weight.shape))
        elif weight.dtype.is_floating:
            weight.assign(rng.normal(scale=0.5, size=weight.shape))


def model_quantizers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the quantizers of a network's layers."""
    return [quantizer for layer in model.layers for quantizer in quantizers_of(layer).values()]


def state(layer: keras.layers.Layer) -> list[tf.Variable]:
    """Return all variables of a layer, including those that its `weights` omit."""
    return list(tf.Module.variables.fget(layer))


def weights_by_name(layer: keras.layers.Layer) -> dict[str, np.ndarray]:
    """Return a layer's weights by the argument names of its row's formulas.

    A name is the last part of the weight's name, or the last two parts if weights share the last.
    """
    names = [weight.name.split(":")[0].split("/") for weight in state(layer)]
    last = [name[-1] for name in names]
    values = {
        "_".join(name[-2:] if last.count(name[-1]) > 1 else name[-1:]): weight.numpy()
        for name, weight in zip(names, state(layer), strict=True)
    }
    if len(values) < len(state(layer)):
        raise ValueError(f"Expected weights with different names. Received: {state(layer)}")
    return values


def sample(shape: tuple[int, ...]) -> np.ndarray:
    """Return random numbers, with both zeros and the limits of clipped gradients among them."""
    x = np.random.default_rng(0).normal(size=shape).astype("f")
    x.flat[:6] = [0.0, -0.0, 1.0, -1.0, 3.0, -3.0]
    return x


def images(count: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels. The brightness of an image depends on its label."""
    y = np.arange(count) % CLASSES
    x = np.random.default_rng(0).normal(size=(count, 8, 8, 3)) + y[:, None, None, None]
    return x.astype("f"), y


def train(
    model: keras.Model,
    *,
    optimizer: keras.optimizers.Optimizer | None = None,
    metrics: list[keras.metrics.Metric] | None = None,
    jit_compile: bool = False,
    **fit_options: Any,
) -> keras.callbacks.History:
    """Train for two epochs of two steps, by default with SGD, which is traced quickly.

    The optimizer and the metrics have their variables before the first step. Otherwise Keras would
    trace the step twice.
    """
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = optimizer or keras.optimizers.SGD(0.1)
    model.compile(optimizer, loss, metrics=metrics, jit_compile=jit_compile)
    model.optimizer.build(model.trainable_variables)
    x, y = images()
    return model.fit(x, y, batch_size=16, epochs=2, verbose=0, **fit_options)
