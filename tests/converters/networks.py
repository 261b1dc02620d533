"""Small networks of every kind that a converter meets, with statistics as after training."""

import larq as lq
import numpy as np
import tf_keras as keras

import kbnn

SHAPE = (8, 8, 32)
BINARY = {
    "input_quantizer": "ste_sign",
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
}


def randomised(model: keras.Model, seed: int = 0) -> keras.Model:
    """Give every weight a value: an untrained batch norm puts activations on ties."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        name = weight.name.split("/")[-1]
        if name.startswith("moving_variance"):
            value = rng.uniform(0.5, 2.0, weight.shape)
        elif name.startswith(("gamma", "moving_mean", "beta")):
            # Both signs: LCE turns a negative gamma into a flipped comparison.
            value = rng.normal(size=weight.shape)
        else:
            value = rng.normal(scale=0.3, size=weight.shape)
        weight.assign(value)
    return model


def chain(**arguments) -> keras.Model:
    return randomised(kbnn.models.vgg_tiny(width=32, **arguments))


def small_chain(**arguments) -> keras.Model:
    """A chain that is quick to convert."""
    return randomised(kbnn.models.vgg_tiny((8, 8, 1), width=32, **arguments))


def one_layer(layer: keras.layers.Layer, shape=SHAPE) -> keras.Model:
    x = keras.Input(shape, name="image")
    return randomised(keras.Model(x, layer(x)))


def residual() -> keras.Model:
    x = image = keras.Input((16, 16, 3), name="image")
    x = keras.layers.Conv2D(32, 3, padding="same", use_bias=False)(x)
    x = keras.layers.BatchNormalization()(x)
    for i in range(2):
        y = lq.layers.QuantConv2D(
            32, 3, padding="same", pad_values=1.0, use_bias=False, name=f"conv_{i}", **BINARY
        )(x)
        x = keras.layers.Add()([x, keras.layers.BatchNormalization()(y)])
    x = keras.layers.GlobalAveragePooling2D()(x)
    return randomised(keras.Model(image, keras.layers.Dense(10)(x)))


def nested() -> keras.Model:
    """A block in a nested model that is used twice, as a user's backbone."""
    x = keras.Input(SHAPE)
    y = lq.layers.QuantConv2D(
        32, 3, padding="same", pad_values=1.0, use_bias=False, name="inner_conv", **BINARY
    )(x)
    block = keras.Model(x, keras.layers.BatchNormalization()(y), name="block")
    image = keras.Input(SHAPE, name="image")
    features = keras.layers.Flatten()(block(block(image)))
    return randomised(keras.Model(image, keras.layers.Dense(10, name="logits")(features)))


def images(model: keras.Model, count: int = 16, seed: int = 1) -> np.ndarray:
    (tensor,) = model.inputs
    rng = np.random.default_rng(seed)
    if tensor.dtype == "uint8":
        return rng.integers(0, 256, (count, *tensor.shape[1:]), np.uint8)
    return rng.normal(size=(count, *tensor.shape[1:])).astype("f")
