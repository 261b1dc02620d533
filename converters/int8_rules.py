"""Which tensors of a device graph need a range in an int8 file."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn.converters.kernel_layers import is_kernel_layer
from kbnn.converters.linted_model import LintedModel
from kbnn.graph.calls import Call
from kbnn.graph.larq_quantizers import is_sign

# Operators whose output has the int8 scale of their input or (softmax) a fixed one.
_SAME_RANGE = (
    keras.layers.AveragePooling2D,
    keras.layers.Flatten,
    keras.layers.MaxPooling2D,
    keras.layers.Permute,
    keras.layers.Reshape,
    keras.layers.Softmax,
    keras.layers.UpSampling2D,
    keras.layers.ZeroPadding2D,
)
# Layers that LCE folds into the packed output of the binary convolution before, or looks through.
_PACKED = (
    keras.layers.BatchNormalization,
    keras.layers.Flatten,
    keras.layers.MaxPooling2D,
    keras.layers.Reshape,
)
_FUSED_ACTIVATIONS = ("linear", "relu", "relu6")


def needs_range(layer: keras.layers.Layer, calls: list[Call], model: LintedModel) -> bool:
    """Whether the layer's output is a separate real-valued tensor on the device."""
    if not all(len(call.output_shapes) == 1 for call in calls) or isinstance(layer, _SAME_RANGE):
        return False
    if layer.compute_dtype != "float32" or layer.get_output_at(0).dtype != tf.float32:
        return False
    if _is_sign(layer) or getattr(layer, "activation", None) is keras.activations.softmax:
        return False
    user = _only_user(calls)
    # A dense layer that became a convolution is followed by a reshape, which LCE moves away.
    while user is not None and isinstance(user[0].layer, keras.layers.Reshape):
        user = _only_user(user)
    follows_binary = all(_follows_binary(call, model) for call in calls)
    # A binary convolution applies an activation before the normalization, never after it.
    is_normalized_sum = follows_binary and isinstance(layer, keras.layers.BatchNormalization)
    if user is not None and not is_normalized_sum and _fuses_into(layer, user[0].layer):
        return False
    return not (follows_binary and _leads_to_sign(calls))


def _only_user(calls: list[Call]) -> list[Call] | None:
    """The calls of the only layer that uses the outputs; None if there are several layers."""
    users = [user for call in calls for user in call.users]
    if len({id(user.layer) for user in users}) != 1 or any(call.is_output for call in calls):
        return None
    return users


def _fuses_into(layer: keras.layers.Layer, user: keras.layers.Layer) -> bool:
    """Whether the converter makes the user a part of the layer's operator."""
    if isinstance(user, keras.layers.BatchNormalization):
        return is_kernel_layer(layer) and _is_linear(layer)
    linear = is_kernel_layer(layer) or isinstance(layer, keras.layers.BatchNormalization)
    activation = getattr(user, "activation", None)
    activates = isinstance(user, keras.layers.ReLU) or fuses_activation(activation)
    return linear and activates and not is_kernel_layer(user)


def _is_linear(layer: keras.layers.Layer) -> bool:
    return getattr(layer, "activation", None) in (None, keras.activations.linear)


def fuses_activation(activation: Any) -> bool:
    """Whether LCE makes an activation a part of the operator before it."""
    return getattr(activation, "__name__", None) in _FUSED_ACTIVATIONS


def _is_sign(layer: keras.layers.Layer) -> bool:
    return is_sign(layer) or is_sign(getattr(layer, "activation", None))


def _takes_sign(layer: keras.layers.Layer) -> bool:
    """Whether a layer uses only the sign of its input."""
    return _is_sign(layer) or is_sign(getattr(layer, "input_quantizer", None))


def feeds_only_signs(calls: list[Call]) -> bool:
    """Whether every user of a layer uses only the sign of its output."""
    users = [user for call in calls for user in call.users]
    is_output = any(call.is_output for call in calls)
    return not is_output and all(_takes_sign(user.layer) for user in users)


def _follows_binary(call: Call, model: LintedModel) -> bool:
    """Whether only layers that LCE packs come between a binary layer and the output."""
    if is_kernel_layer(call.layer):
        return model.runs_binary(call.layer)
    (producer, *_) = call.producers or [None]
    if producer is None or not isinstance(call.layer, _PACKED):
        return False
    return _follows_binary(producer, model)


def _leads_to_sign(calls: list[Call]) -> bool:
    """Whether only layers that LCE packs come between the output and a sign."""
    user = _only_user(calls)
    if user is None:
        return False
    if isinstance(user[0].layer, _PACKED):
        return _leads_to_sign(user)
    return _takes_sign(user[0].layer)
