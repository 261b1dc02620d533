"""Explains why a binary convolution's output is not bit-packed, and what to change.

The output is packed if only operations on each channel, and then max-pooling, come between the
convolution and the next sign. Advice is given only where it helps: in front of a sum, a real-valued
layer or an output of the model, nothing makes an output packed.
"""

from typing import NamedTuple

import tf_keras as keras

from kbnn.converters.kernel_layers import is_kernel_layer
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
    "output not bit-packed: {activation} comes between it and the next sign; remove it, or use "
    "a ReLU or PReLU"
)
BETWEEN = (
    "output not bit-packed: {layer} comes between it and the next sign; only batch normalization "
    "and then max-pooling may"
)
UNUSUAL_ACTIVATION = (
    "output not bit-packed: {activation} comes between it and the next sign; remove it"
)
UNKNOWN = "output not bit-packed: the converter did not pack it"

_AFFINE = (keras.layers.BatchNormalization, keras.layers.Rescaling)
_REAL_POOLING = (
    keras.layers.AveragePooling2D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
)
# Those that each channel can be compared through.
_FOLDED_ACTIVATIONS = (keras.layers.LeakyReLU, keras.layers.PReLU, keras.layers.ReLU)
_ACTIVATIONS = (
    keras.layers.Activation,
    keras.layers.ELU,
    keras.layers.Softmax,
    keras.layers.ThresholdedReLU,
)


class _Way(NamedTuple):
    """What comes between a binary convolution and the next sign.

    Attributes:
        obstacle: the first thing to change, if the way leads to a sign.
        end: why the way cannot end in packed bits; "" if it leads to a sign.
    """

    obstacle: str
    end: str


def why_not_packed(call: Call) -> str:
    """The likely reason why a binary convolution's output is not bit-packed, and the way out."""
    way = _follow(call)
    return way.end or way.obstacle or UNKNOWN


def may_be_packed(call: Call) -> bool:
    """Whether a binary convolution's output leads to a sign, and only there."""
    return not _follow(call).end


def _follow(call: Call) -> _Way:
    obstacles, folded = [], []
    if _has_activation(call.layer):
        text = f"its activation {call.layer.activation.__name__!r}"
        if call.layer.activation is keras.activations.relu:
            folded.append(UNUSUAL_ACTIVATION.format(activation=text))
        else:
            obstacles.append(ACTIVATION.format(activation=text))
    pooling = real_pooling = None
    while True:
        end = _end(call, real_pooling)
        if end:
            return _Way("", end)
        (call, *_) = call.users
        layer, name = call.layer, _text(call)
        if gives_signs(call) or (is_kernel_layer(layer) and takes_signs([call])):
            return _Way(next(iter(obstacles + folded), ""), "")
        if is_kernel_layer(layer):
            return _Way("", LAST.format(user=_text(real_pooling or call)))
        if isinstance(layer, keras.layers.MaxPooling2D):
            pooling = call
        elif isinstance(layer, _AFFINE):
            if pooling is not None:
                obstacles.append(POOLED.format(pooling=_text(pooling), normalization=name))
        elif isinstance(layer, _REAL_POOLING):
            real_pooling = real_pooling or call
            obstacles.append(POOLING.format(pooling=name))
        elif isinstance(layer, _FOLDED_ACTIVATIONS):
            folded.append(UNUSUAL_ACTIVATION.format(activation=name))
        elif isinstance(layer, keras.layers.Reshape):
            # Usually a pair around a dense layer, which the converter sees through.
            folded.append(BETWEEN.format(layer=name))
        elif isinstance(layer, _ACTIVATIONS):
            if getattr(layer, "activation", None) is keras.activations.relu:
                folded.append(UNUSUAL_ACTIVATION.format(activation=name))
            elif not _is_linear(layer):
                obstacles.append(ACTIVATION.format(activation=name))
        else:
            obstacles.append(BETWEEN.format(layer=name))


def _end(call: Call, real_pooling: Call | None) -> str:
    """Why what comes after a call cannot lead to a sign only; "" if it may."""
    if call.is_output:
        return OUTPUT if real_pooling is None else LAST.format(user=_text(real_pooling))
    merge = next((user for user in call.users if len(user.producers) > 1), None)
    if merge is not None:
        return MERGED.format(merge=_text(merge))
    if len({id(user.layer) for user in call.users}) != 1:
        return USERS.format(users=", ".join(map(_text, call.users)))
    return ""


def _has_activation(layer: keras.layers.Layer) -> bool:
    activation = getattr(layer, "activation", None)
    return activation not in (None, keras.activations.linear) and not outputs_are_binary(layer)


def _is_linear(layer: keras.layers.Layer) -> bool:
    return (
        isinstance(layer, keras.layers.Activation) and layer.activation is keras.activations.linear
    )


def _text(call: Call) -> str:
    return f"{call.layer.name!r} ({type(call.layer).__name__})"
