"""Which tensors of a model can never be negative."""

import tensorflow as tf
import tf_keras as keras

from kbnn.graph.calls import Call
from kbnn.graph.larq_quantizers import is_quantizer, is_sign
from kbnn.graph.signs import preserves_signs

_ACTIVATIONS = (
    *(keras.activations.relu, keras.activations.sigmoid, keras.activations.hard_sigmoid),
    *(keras.activations.softmax, keras.activations.softplus, keras.activations.exponential),
    *(tf.nn.relu, tf.nn.relu6, tf.nn.sigmoid, tf.nn.softmax, tf.nn.softplus),
    *(tf.abs, tf.exp, tf.square),
)
# What Keras calls a function of TensorFlow that a model applies to its tensors.
_OPERATIONS = (
    *("nn.relu", "nn.relu6", "nn.softmax", "nn.softplus", "math.softplus", "math.sigmoid"),
    *("math.abs", "math.exp", "math.square"),
)
# Layers whose outputs are not negative if their inputs are not.
_PASS_ON = (
    *(keras.layers.AveragePooling1D, keras.layers.AveragePooling2D),
    *(keras.layers.GlobalAveragePooling1D, keras.layers.GlobalAveragePooling2D),
    *(keras.layers.ZeroPadding1D, keras.layers.ZeroPadding2D),
    *(keras.layers.SpatialDropout1D, keras.layers.SpatialDropout2D),
    *(keras.layers.Add, keras.layers.Average, keras.layers.Minimum, keras.layers.Multiply),
)
# Layers that apply their `activation` last.
_WITH_ACTIVATION = (
    *(keras.layers.Activation, keras.layers.Dense, keras.layers.EinsumDense),
    *(keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D),
    *(keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D),
    *(keras.layers.SeparableConv1D, keras.layers.SeparableConv2D),
)


def non_negative_source(call: Call | None, dtype: str) -> str:
    """Name what keeps a tensor from being negative.

    Args:
        call: the call that gives the tensor; None for an input of the model.
        dtype: the tensor's dtype.

    Returns:
        Such as "'relu' (ReLU)"; "" if the tensor may be negative.
    """
    if call is None:
        return f"an input of type {dtype}" if dtype.startswith("uint") else ""
    layer = call.layer
    if _is_non_negative(layer):
        return describe(call)
    if _has_non_negative_activation(layer):
        is_layer = isinstance(layer, keras.layers.Activation)
        return describe(call) if is_layer else f"the activation of {describe(call)}"
    if not _passes_on(layer) and not isinstance(layer, keras.layers.Maximum):
        return ""
    sources = [
        non_negative_source(producer, dtype)
        for producer, dtype in zip(call.producers, call.input_dtypes, strict=True)
    ]
    enough = any if isinstance(layer, keras.layers.Maximum) else all
    return next(filter(None, sources), "") if enough(sources) else ""


def describe(call: Call) -> str:
    """A layer's name and class, as messages give them."""
    return f"{call.layer.name!r} ({type(call.layer).__name__})"


def is_sign_layer(layer: keras.layers.Layer) -> bool:
    """Whether a layer does nothing but take the sign."""
    if isinstance(layer, keras.layers.Activation):
        return is_quantizer(layer.activation) and is_sign(layer.activation)
    return is_sign(layer)


def _is_non_negative(layer: keras.layers.Layer) -> bool:
    if isinstance(layer, keras.layers.ReLU):
        return float(layer.negative_slope) == 0.0 and float(layer.threshold) >= 0.0
    if isinstance(layer, keras.layers.ThresholdedReLU):
        return float(layer.theta) >= 0.0
    return isinstance(layer, keras.layers.Softmax) or _operation(layer) in _OPERATIONS


def _has_non_negative_activation(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, _WITH_ACTIVATION) and any(
        layer.activation is function for function in _ACTIVATIONS
    )


def _passes_on(layer: keras.layers.Layer) -> bool:
    if isinstance(layer, keras.layers.Rescaling):
        return _is_positive(layer.scale) and _is_positive(layer.offset)
    if isinstance(layer, keras.layers.UpSampling2D):
        return layer.interpolation in ("nearest", "bilinear")
    if isinstance(layer, keras.layers.Activation):
        return layer.activation is keras.activations.linear or is_sign_layer(layer)
    return (
        isinstance(layer, _PASS_ON)
        or preserves_signs(layer)
        or is_sign_layer(layer)
        or _operation(layer) == "cast"
    )


def _is_positive(value: float | list[float]) -> bool:
    return all(number >= 0 for number in tf.nest.flatten(value))


def _operation(layer: keras.layers.Layer) -> str:
    """The function of TensorFlow that a layer of Keras stands for, such as "nn.relu"; or ""."""
    return layer.get_config()["function"] if type(layer).__name__ == "TFOpLambda" else ""
