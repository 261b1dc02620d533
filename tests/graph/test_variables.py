"""A model with variables that none of its layers has is refused, because nothing trains them."""

import larq as lq
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from kbnn.graph.variables import check_variables

BINARY = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}


def model_of(function):
    image = keras.Input((6, 6, 32))
    return keras.Model(image, lq.layers.QuantConv2D(8, 3, **BINARY)(function(image)))


def nested(function):
    image = keras.Input((6, 6, 32))
    return keras.Model(image, function(image))


def scaled(x):
    return x * tf.Variable(2.0, name="scale")


def of_keras_3(x):
    import keras as keras3

    return keras3.layers.Conv2D(32, 3, padding="same")(x)


CONSUMERS = {
    "freeze": kbnn.converters.freeze,
    "lint": kbnn.converters.lint,
    "convert": lambda model: kbnn.converters.convert(model, "never.tflite"),
    "requantize": lambda model: kbnn.requantize(model, input_quantizer="approx_sign"),
    "Trainer": kbnn.trainers.Trainer,
    "LatentWeightTrainer": kbnn.trainers.LatentWeightTrainer,
}


@pytest.mark.parametrize("consume", CONSUMERS.values(), ids=list(CONSUMERS))
@pytest.mark.parametrize("inside", [False, True], ids=["outside", "nested"])
def test_stray_variables_and_layers_of_keras_3_are_refused_by_name(consume, inside):
    def place(function):
        return model_of(nested(function) if inside else function)

    with pytest.raises(ValueError, match=r"'scale:0' in the operation 'tf.math.multiply"):
        consume(place(scaled))
    with pytest.raises(TypeError, match=r"Expected layers of Keras 2.*tf_keras as keras"):
        consume(place(of_keras_3))


def test_constants_and_the_weights_of_layers_are_fine():
    tied = keras.layers.Dense(32)
    tied.build((None, 32))
    image = keras.Input((6, 6, 32))
    x = tf.matmul(tied(image) * tf.constant(2.0), tied.kernel, transpose_b=True)
    check_variables(keras.Model(image, x))
