"""Where in a model's graph tensors are +-1."""

import tensorflow as tf
import tf_keras as keras

from kbnn.graph.larq_quantizers import is_quantizer, is_sign

# Layers through which +-1 values pass unchanged or as a choice among them.
SIGN_PRESERVING_LAYERS = (
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.MaxPooling2D,
    keras.layers.Dropout,
    keras.layers.Permute,
)


def producers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layers whose outputs a layer takes, in all its uses."""
    return [
        producer
        for node in layer.inbound_nodes
        for producer in tf.nest.flatten(node.inbound_layers)
    ]


def outputs_are_binary(layer: keras.layers.Layer) -> bool:
    """Whether a layer's outputs at inference are +-1."""
    if is_sign(layer) or getattr(layer, "outputs_are_binary", False):
        return True
    activation = getattr(layer, "activation", None)
    if activation is not None and is_quantizer(activation):
        return is_sign(activation)
    if isinstance(layer, SIGN_PRESERVING_LAYERS):
        found = producers(layer)
        return bool(found) and all(map(outputs_are_binary, found))
    return False


def inputs_are_binary(layer: keras.layers.Layer) -> bool:
    """Whether all that a layer with a kernel multiplies at inference is +-1."""
    if getattr(layer, "input_quantizer", None) is not None:
        return is_sign(layer.input_quantizer)
    found = producers(layer)
    return bool(found) and all(map(outputs_are_binary, found))
