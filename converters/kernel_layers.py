"""Which layers multiply by weights."""

import tf_keras as keras

from kbnn._larq import Quantizer
from kbnn.graph.larq_quantizers import KERNEL_QUANTIZERS

# Layers whose weights of rank 2 and more are looked up, or multiply element by element.
_NO_PRODUCT = (
    keras.layers.BatchNormalization,
    keras.layers.Embedding,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.Normalization,
    keras.layers.PReLU,
    Quantizer,
)


def is_kernel_layer(layer: keras.layers.Layer) -> bool:
    """Whether a layer, or a layer inside it, multiplies by weights."""
    if any(hasattr(layer, kernel) for kernel in KERNEL_QUANTIZERS.values()):
        return True
    matrices = any(len(weight.shape) > 1 for weight in layer.weights)
    return matrices and not isinstance(layer, _NO_PRODUCT)
