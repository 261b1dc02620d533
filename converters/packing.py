"""Explains why a binary convolution's output is not bit-packed, and what to change.

LCE packs the output if only per-channel affine functions, then max-pooling, come between the
convolution and the next sign.
"""

import tf_keras as keras

from kbnn.converters.lint_rules import is_kernel_layer
from kbnn.graph.calls import Call
from kbnn.graph.signs import gives_signs, outputs_are_binary, takes_signs

OUTPUT = "output not bit-packed: it is the model's output"
LAST = "output not bit-packed: {user} needs real values; this is normal for the last binary layer"
USERS = (
    "output not bit-packed: {users} use it, and not all of them take its sign first; let only one "
    "layer use it"
)
POOLED = (
    "output not bit-packed: {pooling} comes before {normalization}; put batch normalization before "
    "max-pooling"
)
POOLING = "output not bit-packed: {pooling} needs real values; use max-pooling"
MERGED = (
    "output not bit-packed: {merge} combines it with a shortcut in real values; only a chain "
    "without shortcuts is packed"
)
ACTIVATION = (
    "output not bit-packed: {activation} comes between it and the next sign; remove it, or put a "
    "ReLU directly after a convolution without bias"
)
BETWEEN = (
    "output not bit-packed: {layer} comes between it and the next sign; only batch normalization "
    "and then max-pooling may"
)
UNKNOWN = "output not bit-packed: the converter did not pack it"

_AFFINE = (keras.layers.BatchNormalization, keras.layers.Rescaling)
_REAL_POOLING = (
    keras.layers.AveragePooling2D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
)
_ACTIVATIONS = (
    keras.layers.Activation,
    keras.layers.ELU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ReLU,
    keras.layers.Softmax,
    keras.layers.ThresholdedReLU,
)


def why_not_packed(call: Call) -> str:
    """The likely reason why a binary convolution's output is not bit-packed, and the way out."""
    if _has_activation(call.layer):
        return ACTIVATION.format(activation=f"its activation {call.layer.activation.__name__!r}")
    pooling = reshape = None
    while True:
        if call.is_output:
            return OUTPUT
        if len({id(user.layer) for user in call.users}) != 1:
            return USERS.format(users=", ".join(map(_text, call.users)))
        (call, *_) = call.users
        if pooling is not None and isinstance(call.layer, _AFFINE):
            return POOLED.format(pooling=_text(pooling), normalization=_text(call))
        if isinstance(call.layer, keras.layers.MaxPooling2D):
            pooling = call
        elif isinstance(call.layer, keras.layers.Reshape):
            # Usually a pair around a dense layer, which LCE sees through.
            reshape = call
        elif not isinstance(call.layer, _AFFINE) and not _is_linear(call.layer):
            return _reason(call, reshape)


def _reason(user: Call, reshape: Call | None) -> str:
    """Why the first user that LCE does not fold into the convolution needs real values."""
    name = _text(user)
    if len(user.producers) > 1:
        return MERGED.format(merge=name)
    if gives_signs(user) or (is_kernel_layer(user.layer) and takes_signs([user])):
        return UNKNOWN if reshape is None else BETWEEN.format(layer=_text(reshape))
    if is_kernel_layer(user.layer):
        return LAST.format(user=name)
    if isinstance(user.layer, _REAL_POOLING):
        return POOLING.format(pooling=name)
    if isinstance(user.layer, _ACTIVATIONS):
        return ACTIVATION.format(activation=name)
    return BETWEEN.format(layer=name)


def _has_activation(layer: keras.layers.Layer) -> bool:
    activation = getattr(layer, "activation", None)
    return activation not in (None, keras.activations.linear) and not outputs_are_binary(layer)


def _is_linear(layer: keras.layers.Layer) -> bool:
    return (
        isinstance(layer, keras.layers.Activation) and layer.activation is keras.activations.linear
    )


def _text(call: Call) -> str:
    return f"{call.layer.name!r} ({type(call.layer).__name__})"
