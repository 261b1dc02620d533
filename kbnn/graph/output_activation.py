"""The activation at the end of a model."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn.graph.nodes import layer_of, tensors_before


def output_activation(model: keras.Model) -> Any:
    """Return the activation function that gives a model's first output; None without one.

    Layers that do not change values, such as a cast or a reshape, are skipped.
    """
    tensor = model.outputs[0]
    while True:
        layer = layer_of(tensor)
        if not _keeps_values(layer):
            break
        tensor = tensors_before(tensor)[0]
    if isinstance(layer, keras.Model):
        return output_activation(layer)
    if isinstance(layer, keras.layers.Softmax):
        return keras.activations.softmax
    # Keras makes a layer of the call tf.nn.softmax(x).
    return getattr(layer, "activation", None) or getattr(layer, "function", None)


def _keeps_values(layer: keras.layers.Layer) -> bool:
    is_linear = getattr(layer, "activation", None) is keras.activations.linear
    return isinstance(layer, keras.layers.Reshape | keras.layers.Flatten) or (
        isinstance(layer, keras.layers.Activation) and is_linear
    )


def gives_probabilities(model: keras.Model) -> bool:
    """Whether a softmax gives a model's first output."""
    return output_activation(model) in (keras.activations.softmax, tf.nn.softmax)
