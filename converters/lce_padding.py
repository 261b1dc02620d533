"""Keeps LCE's own converter from padding in the wrong places."""

from collections.abc import Iterable
from typing import Any

import tf_keras as keras

from kbnn.converters.linted_model import LintedModel
from kbnn.graph.calls import Call
from kbnn.graph.precision import dtype_policy
from kbnn.graph.rewrite import rewrite


def without_symmetric_padding(graph: LintedModel) -> keras.Model:
    """Trim the padding before strided convolutions in a device graph.

    LCE 0.16 mistakes symmetric padding there for Keras's "same", which pads elsewhere, and the file
    would be wrong. `ZeroPadding2D` loses the rows and columns that no window reaches, after which
    it is not symmetric.

    Raises:
        ValueError: the padding before a strided convolution cannot be trimmed; the message names
            the layer and the way out.
    """

    def replace(layer: keras.layers.Layer) -> keras.layers.Layer | None:
        if isinstance(layer, keras.layers.ZeroPadding2D):
            return _trimmed_padding(layer, graph)
        if _is_pad_operation(layer) and (strided := _strided_users(graph.calls_to(layer))):
            raise ValueError(
                f"Expected keras.layers.ZeroPadding2D or padding='same' before the strided layer "
                f"{strided[0].name!r}. Received: a tf.pad operation ({layer.name!r}), which LCE "
                "0.16 can compile to a wrong padding."
            )
        return None

    with dtype_policy("float32"):
        return rewrite(graph.model, replace)


def _trimmed_padding(
    layer: keras.layers.ZeroPadding2D, graph: LintedModel
) -> keras.layers.Layer | None:
    calls = graph.calls_to(layer)
    strided = _strided_users(calls)
    if not strided:
        return None
    users = _users(calls)
    paddings = {_trim(layer, user) for user in strided}
    if len(paddings) > 1 or len(users) != len(strided):
        names = ", ".join(sorted(repr(user.name) for user in users))
        raise ValueError(
            f"Expected the padding {layer.name!r} to be used by one strided convolution. Received: "
            f"it is used by {names}, and LCE 0.16 would pad wrongly. Give each its own "
            "ZeroPadding2D."
        )
    (padding,) = paddings
    return keras.layers.ZeroPadding2D(padding, name=layer.name)


def _trim(layer: keras.layers.ZeroPadding2D, user: keras.layers.Layer) -> Any:
    """The padding that windows of the user reach: ((top, bottom), (left, right))."""
    sizes = layer.input_shape[1:3]
    if None in sizes:
        raise ValueError(
            f"Expected a fixed image size before {layer.name!r}, whose padding LCE 0.16 compiles "
            f"wrongly for some sizes. Received: input shape {layer.input_shape}"
        )
    trimmed = []
    for size, (before, after), kernel, dilation, stride in zip(
        sizes, layer.padding, user.kernel_size, user.dilation_rate, user.strides, strict=True
    ):
        window = (kernel - 1) * dilation + 1
        unreached = (size + before + after - window) % stride
        trimmed.append((before, max(0, after - unreached)))
    return tuple(trimmed)


def _users(calls: Iterable[Call]) -> list[keras.layers.Layer]:
    """The layers that take the outputs of these calls, once for each call of theirs."""
    return [user.layer for call in calls for user in call.users]


def _strided_users(calls: Iterable[Call]) -> list[keras.layers.Layer]:
    return [
        user
        for user in _users(calls)
        if isinstance(user, keras.layers.Conv2D | keras.layers.DepthwiseConv2D)
        and user.padding == "valid"
        and max(user.strides) > 1
    ]


def _is_pad_operation(layer: keras.layers.Layer) -> bool:
    return getattr(layer, "symbol", None) in ("pad", "compat.v1.pad", "raw_ops.Pad")
