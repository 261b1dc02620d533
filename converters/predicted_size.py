"""Predicts the size of a device file before the model is converted."""

import math
from collections import Counter

import tf_keras as keras

from kbnn.converters.kernel_layers import is_kernel_layer
from kbnn.converters.linted_model import LintedModel
from kbnn.graph.calls import Call

# Measured on files of 3 to 360 operators: names and shapes of tensors, options of operators, the
# signature.
_BYTES_PER_FILE = 1200
_BYTES_PER_OPERATOR = 310
# The operators of attention, normalization and recurrent layers have short names and no options.
_BYTES_PER_SMALL_OPERATOR = 190


def predicted_bytes(graph: LintedModel, *, int8: bool = False) -> int:
    """Predict a file's size from the device graph.

    A binary kernel takes one bit for each weight, with its input channels rounded up to a multiple
    of 32, and for each output channel 4 bytes for a threshold or 8 for scale and bias. Other
    weights take 4 bytes. Batch normalization is folded into the layer before it where possible.
    Operators take a typical size each. A layer that is used several times is stored once, and once
    more for each use that a batch normalization is folded into. A layer of your own, which may
    become any number of operators, counts as one operator.

    Args:
        graph: the device graph.
        int8: real-valued weights take one byte instead of four.
    """
    folded = Counter(
        id(convolution.layer)
        for call in graph.calls
        if (convolution := _folds_into(call)) is not None
    )
    layers = {id(call.layer): call.layer for call in graph.calls}
    weights = 0
    for key, layer in layers.items():
        copies = folded[key] + (folded[key] < len(graph.calls_to(layer)))
        weights += copies * _weight_bytes(layer, graph, 1 if int8 else 4)
    return _BYTES_PER_FILE + weights + sum(map(_operator_bytes, graph.calls))


def _weight_bytes(layer: keras.layers.Layer, graph: LintedModel, bytes_per_weight: int) -> int:
    if isinstance(layer, keras.layers.BatchNormalization):
        return 0
    if graph.runs_binary(layer):
        *window, channels, filters = layer.kernel.shape
        return math.prod(window) * filters * math.ceil(channels / 32) * 4 + 8 * filters
    return bytes_per_weight * sum(math.prod(weight.shape) for weight in layer.weights)


def _operator_bytes(call: Call) -> int:
    layer = call.layer
    if isinstance(layer, keras.layers.BatchNormalization):
        # One that is not folded becomes a multiplication and an addition.
        channels = call.input_shapes[0][layer.axis[0]] or 0
        return 0 if _folds_into(call) is not None else 2 * (_BYTES_PER_OPERATOR + 4 * channels)
    small = _small_operators(call)
    return _BYTES_PER_SMALL_OPERATOR * small if small else _BYTES_PER_OPERATOR


def _small_operators(call: Call) -> int:
    """How many operators a layer becomes if the converter takes it apart, else 0."""
    layer = call.layer
    if isinstance(layer, keras.layers.LayerNormalization):
        return 15
    if isinstance(layer, keras.layers.MultiHeadAttention):
        return 15
    if isinstance(layer, keras.layers.LSTM | keras.layers.GRU):
        return 15 * (call.input_shapes[0][1] or 1)
    return 0


def _folds_into(call: Call) -> Call | None:
    """The convolution or dense layer that absorbs a batch normalization."""
    if not isinstance(call.layer, keras.layers.BatchNormalization):
        return None
    (producer, *_) = call.producers
    # The converter moves the reshape behind a dense layer that became a convolution.
    while producer is not None and isinstance(producer.layer, keras.layers.Reshape):
        (producer, *_) = producer.producers
    if producer is None or not is_kernel_layer(producer.layer) or len(producer.users) > 1:
        return None
    return producer
