"""Why a binary convolution's output stays real, and what would pack it.

LCE packs it into bits if nothing but per-channel affine functions, then max-pooling, stands between
the convolution and the sign of whoever uses it.
"""

import tf_keras as keras

from kbnn.converters.lint import is_kernel_layer
from kbnn.graph.calls import Call
from kbnn.graph.signs import inputs_are_binary, outputs_are_binary

OUTPUT = "real outputs: it gives the model's output"
LAST = "real outputs: {user} multiplies real values; nothing to mend in the last binary layer"
USERS = (
    "real outputs: {users} use it, and not all of them take its sign first; let one layer use it"
)
POOLED = (
    "real outputs: {pooling} stands before {normalization}; batch normalization before "
    "max-pooling packs it"
)
POOLING = "real outputs: {pooling} needs real values; max-pooling packs it"
MERGED = (
    "real outputs: {merge} joins it with a shortcut in real values; only a chain without one packs"
)
ACTIVATION = (
    "real outputs: {activation} stands between it and the next sign; leave it out, or put a ReLU "
    "directly after a convolution without bias"
)
BETWEEN = (
    "real outputs: {layer} stands between it and the next sign; only batch normalization, then "
    "max-pooling, may"
)
UNKNOWN = "real outputs: LCE's converter did not pack them"

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
    """The likely reason why a binary convolution's output is real, and the way out."""
    if _has_activation(call.layer):
        return ACTIVATION.format(activation=f"its activation {call.layer.activation.__name__!r}")
    pooling = reshape = None
    while True:
        if call.is_output:
            return OUTPUT
        if len({id(user.layer) for user in call.users}) != 1:
            return USERS.format(users=", ".join(map(_named, call.users)))
        (call, *_) = call.users
        if pooling is not None and isinstance(call.layer, _AFFINE):
            return POOLED.format(pooling=_named(pooling), normalization=_named(call))
        if isinstance(call.layer, keras.layers.MaxPooling2D):
            pooling = call
        elif isinstance(call.layer, keras.layers.Reshape):
            # Most often there and back, around a dense layer; LCE sees through that.
            reshape = call
        elif not isinstance(call.layer, _AFFINE) and not _is_linear(call.layer):
            return _reason(call, reshape)


def _reason(user: Call, reshape: Call | None) -> str:
    """Why the first user that LCE does not fold into the convolution keeps its output real."""
    name = _named(user)
    if len(user.producers) > 1:
        return MERGED.format(merge=name)
    if outputs_are_binary(user.layer) or (
        is_kernel_layer(user.layer) and inputs_are_binary(user.layer)
    ):
        return UNKNOWN if reshape is None else BETWEEN.format(layer=_named(reshape))
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


def _named(call: Call) -> str:
    return f"{call.layer.name!r} ({type(call.layer).__name__})"
