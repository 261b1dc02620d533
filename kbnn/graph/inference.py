"""Checks that a model computes at inference what the device will compute."""

import inspect

import tensorflow as tf
import tf_keras as keras

from kbnn.graph.layers import layers_of
from kbnn.graph.nodes import Node, arguments_of, nodes_of


def check_finite_weights(model: keras.Model) -> None:
    """Raise ValueError, with the names of the layers, if a weight is NaN or infinite."""
    broken = [
        f"{layer.name} ({weight.name}: {int(count)} of {weight.shape.num_elements()})"
        for layer in layers_of(model)
        for weight in layer.weights
        if weight.dtype.is_floating
        and (count := tf.reduce_sum(tf.cast(~tf.math.is_finite(weight), tf.int64)))
    ]
    if broken:
        raise ValueError(
            "Expected finite weights. Received: NaN or infinite values in " + "; ".join(broken)
        )


def check_no_training_calls(model: keras.Model) -> None:
    """Raise ValueError, with the names of the layers, if layers are called with training=True."""
    training = dict.fromkeys(_layers_called_in_training(model))
    if training:
        raise ValueError(
            "Expected layers to be called without training=True, so that they behave on the device "
            f"as at inference. Received: training=True in the call of {', '.join(training)}. Leave "
            "`training` out: fit sets it to True and predict to False."
        )


def _layers_called_in_training(model: keras.Model) -> list[str]:
    found = []
    for node in nodes_of(model):
        layer = node.layer
        if _is_called_in_training(node):
            found.append(f"{layer.name!r} ({type(layer).__name__})")
        if isinstance(layer, keras.Model):
            found += _layers_called_in_training(layer)
    return found


def _is_called_in_training(node: Node) -> bool:
    # Keras runs a frozen batch normalization as at inference, whatever `training` is.
    if isinstance(node.layer, keras.layers.BatchNormalization) and not node.layer.trainable:
        return False
    positional, named = arguments_of(node)
    arguments = inspect.signature(node.layer.call).bind(*positional, **named).arguments
    training = arguments.get("training", arguments.get("kwargs", {}).get("training"))
    return isinstance(training, bool | int) and bool(training)
