"""The size of a device file, predicted from the model before it is converted."""

import math

import tf_keras as keras

from kbnn.converters.lint import is_kernel_layer, judge
from kbnn.training.rewrite import layers_of

# Seen on files of 3 to 40 operators: tensors' names and shapes, operators' options, signature.
_BYTES_PER_FILE = 1200
_BYTES_PER_OPERATOR = 310

# Layers that leave no operator of their own.
_FREE_LAYERS = (
    keras.layers.InputLayer,
    keras.layers.BatchNormalization,
    keras.layers.Dropout,
)


def predicted_bytes(device_model: keras.Model) -> int:
    """The file's size, predicted from the model.

    Binary kernels take a bit a weight, their input channels filled up to 32, and 4 bytes a channel
    for the threshold or 8 for scale and bias; other weights 4 bytes, batch normalization folded
    into the layer before it; operators a typical size each.
    """
    size = _BYTES_PER_FILE
    for layer in layers_of(device_model):
        size += _BYTES_PER_OPERATOR if not isinstance(layer, _FREE_LAYERS) else 0
        if is_kernel_layer(layer) and judge(layer).binary:
            *window, channels, filters = layer.kernel.shape
            size += math.prod(window) * filters * math.ceil(channels / 32) * 4 + 8 * filters
        elif not isinstance(layer, keras.layers.BatchNormalization):
            size += 4 * sum(math.prod(weight.shape) for weight in layer.weights)
    return size
