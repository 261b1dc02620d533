"""Where in a model's graph tensors are +-1."""

import tf_keras as keras

from kbnn.graph import hooks
from kbnn.graph.larq_quantizers import is_quantizer, is_sign
from kbnn.graph.nodes import producers

# Layers through which +-1 values pass unchanged or as a choice among them.
SIGN_PRESERVING_LAYERS = (
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.MaxPooling2D,
    keras.layers.Dropout,
    keras.layers.Permute,
)


def outputs_are_binary(layer: keras.layers.Layer) -> bool:
    """Whether a layer's outputs at inference are +-1."""
    if is_sign(layer) or hooks.has_binary_outputs(layer):
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
