"""The size of a device file, predicted from the model before it is converted."""

import math
from collections import Counter

import tf_keras as keras

from kbnn.converters.lint import is_kernel_layer, lint_layer
from kbnn.graph.calls import Call, calls_of

# Seen on files of 3 to 360 operators: tensors' names and shapes, operators' options, signature.
_BYTES_PER_FILE = 1200
_BYTES_PER_OPERATOR = 310
# The operators of attention, normalization and recurrent layers have short names and no options.
_BYTES_PER_SMALL_OPERATOR = 190


def predicted_bytes(device_model: keras.Model, *, int8: bool = False) -> int:
    """The file's size, predicted from the model.

    Args:
        device_model: the model to be converted.
        int8: real weights take one byte in place of four.

    Binary kernels take a bit a weight, their input channels filled up to 32, and 4 bytes a channel
    for the threshold or 8 for scale and bias; other weights 4 bytes, batch normalization folded
    into the layer before it where it can be; operators a typical size each. A layer that is used
    several times is stored once, and once more for each use that a batch normalization is folded
    into. A layer of your own, which may become any number of operators, counts as one.
    """
    calls = calls_of(device_model)
    folded = Counter(
        id(convolution.layer) for call in calls if (convolution := _folds_into(call)) is not None
    )
    uses = Counter(id(call.layer) for call in calls)
    layers = {id(call.layer): call.layer for call in calls}
    weights = sum(
        _weight_bytes(layer, 1 if int8 else 4) * (folded[key] + (folded[key] < uses[key]))
        for key, layer in layers.items()
    )
    return _BYTES_PER_FILE + weights + sum(map(_operator_bytes, calls))


def _weight_bytes(layer: keras.layers.Layer, bytes_per_weight: int) -> int:
    if isinstance(layer, keras.layers.BatchNormalization):
        return 0
    if is_kernel_layer(layer) and lint_layer(layer).binary:
        *window, channels, filters = layer.kernel.shape
        return math.prod(window) * filters * math.ceil(channels / 32) * 4 + 8 * filters
    return bytes_per_weight * sum(math.prod(weight.shape) for weight in layer.weights)


def _operator_bytes(call: Call) -> int:
    layer = call.layer
    if isinstance(layer, keras.layers.BatchNormalization):
        # What folds into no layer is a multiplication and an addition.
        channels = call.input_shapes[0][layer.axis[0]] or 0
        return 0 if _folds_into(call) is not None else 2 * (_BYTES_PER_OPERATOR + 4 * channels)
    small = _small_operators(call)
    return _BYTES_PER_SMALL_OPERATOR * small if small else _BYTES_PER_OPERATOR


def _small_operators(call: Call) -> int:
    """How many operators a layer becomes that LCE's converter takes apart, else 0."""
    layer = call.layer
    if isinstance(layer, keras.layers.LayerNormalization):
        return 15
    if isinstance(layer, keras.layers.MultiHeadAttention):
        heads = layer.get_config()["num_heads"]
        # With several heads, each is multiplied by itself.
        return 15 if heads == 1 else 27 + 6 * heads
    if isinstance(layer, keras.layers.LSTM | keras.layers.GRU):
        return 15 * (call.input_shapes[0][1] or 1)
    return 0


def _folds_into(call: Call) -> Call | None:
    """The convolution or dense layer that takes a batch normalization up."""
    if not isinstance(call.layer, keras.layers.BatchNormalization):
        return None
    (producer, *_) = call.producers
    # A dense layer as a convolution has its reshape in between, which LCE moves out of the way.
    while producer is not None and isinstance(producer.layer, keras.layers.Reshape):
        (producer, *_) = producer.producers
    if producer is None or not is_kernel_layer(producer.layer) or len(producer.users) > 1:
        return None
    return producer
