"""Whether tensors in a model's graph are +1 or -1."""

import tf_keras as keras

from kbnn.graph import hooks
from kbnn.graph.larq_quantizers import is_quantizer, is_sign
from kbnn.graph.nodes import producers

# Layers that only pass on, choose or drop values, so that +-1 stays +-1.
SIGN_PRESERVING_LAYERS = (
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.MaxPooling2D,
    keras.layers.Dropout,
    keras.layers.Permute,
)


def outputs_are_binary(layer: keras.layers.Layer) -> bool:
    """Whether all outputs of a layer at inference are +1 or -1."""
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
    """Whether a layer with a kernel multiplies only +1 and -1 at inference."""
    if getattr(layer, "input_quantizer", None) is not None:
        return is_sign(layer.input_quantizer)
    found = producers(layer)
    return bool(found) and all(map(outputs_are_binary, found))
