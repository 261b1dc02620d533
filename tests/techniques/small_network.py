"""A network with one binary convolution, whose training step is traced quickly."""

import larq as lq
import numpy as np
import tf_keras as keras

import kbnn

SHAPE, CLASSES = (6, 6, 2), 8


def small_network(
    *, filters=4, input_quantizer=None, kernel_quantizer="ste_sign", normalization="batch"
):
    """A real convolution, normalization "norm", a binary convolution "conv" and a classifier."""
    x = image = keras.Input(SHAPE)
    x = keras.layers.Conv2D(4, 3, name="stem")(x)
    if normalization == "binary":
        x = kbnn.layers.BinaryBatchNormalization(input_quantizer, name="norm")(x)
        input_quantizer = None
    else:
        x = keras.layers.BatchNormalization(name="norm")(x)
    x = lq.layers.QuantConv2D(
        filters,
        3,
        input_quantizer=input_quantizer,
        kernel_quantizer=kernel_quantizer,
        kernel_constraint=None if kernel_quantizer is None else "weight_clip",
        name="conv",
    )(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(CLASSES, activation="softmax")(x)
    return keras.Model(image, x, name="small")


def compiled(model, **options):
    model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy", **options)
    return model


def images(count=8):
    return np.random.default_rng(0).normal(size=(count, *SHAPE)).astype("f")


def labels(count=8):
    return np.arange(count) % CLASSES
