"""The frozen model in the form that LCE compiles rightly: same function, other layers."""

import math
from typing import Any

import larq as lq
import tensorflow as tf
import tf_keras as keras

from kbnn.converters.lint import (
    input_shapes,
    is_kernel_layer,
    lint_layer,
    pads,
    sees_signs_directly,
)
from kbnn.graph.calls import Call, calls_of
from kbnn.graph.larq_quantizers import is_sign
from kbnn.graph.nodes import consumers
from kbnn.graph.padding import NEGATIVE, same_paddings
from kbnn.graph.precision import float32_policy
from kbnn.graph.rewrite import REMOVE, Replacement, rewrite
from kbnn.graph.signs import SIGN_PRESERVING_LAYERS


def device_graph(frozen: keras.Model) -> keras.Model:
    """Rewrite a frozen model for LCE; the function that it computes stays the same.

    - A binary dense layer, for which LCE has no operator, becomes a 1x1 binary convolution.
    - A binary convolution whose `padding="same"` adds nothing becomes a "valid" one, whose outputs
      LCE can pack; one that pads with -1 is padded before its sign.
    - A binary convolution whose signs come through a layer such as `Flatten` or `MaxPooling2D`
      takes the sign again, because LCE looks for it directly before the convolution.
    - A sign of its own before max-pooling, flattening or a binary dense layer disappears where
      binary layers alone take what comes of it, because they take the sign again; the largest
      number has the largest sign. So LCE pools packed bits, and keeps a dense layer's packed.
    - `ZeroPadding2D` before a strided convolution loses the rows and columns that no window
      reaches. LCE 0.16 takes a symmetric padding there for Keras's "same", which pads elsewhere,
      and the file would be wrong; trimmed, the padding is not symmetric.

    Raises:
        ValueError: a padding before a strided convolution that cannot be trimmed; with the layer's
            name and the way out.
    """

    calls = calls_of(frozen)

    def replace(layer: keras.layers.Layer) -> Any:
        if isinstance(layer, keras.layers.ZeroPadding2D):
            return _trimmed_padding(layer)
        if isinstance(layer, keras.layers.Dense) and lint_layer(layer).binary:
            return _dense_as_convolution(layer)
        if isinstance(layer, lq.layers.QuantConv2D) and lint_layer(layer).binary:
            return _plainer_convolution(layer)
        if _is_sign_taken_again([call for call in calls if call.layer is layer]):
            return REMOVE
        if _is_pad_operation(layer) and _strided_users(layer):
            raise ValueError(
                f"Expected keras.layers.ZeroPadding2D or padding='same' before the strided layer "
                f"{_strided_users(layer)[0].name!r}. Received: a tf.pad operation "
                f"({layer.name!r}), which LCE 0.16 can compile to a wrong padding."
            )
        return None

    with float32_policy():
        return rewrite(frozen, replace)


class DenseAsConvolution(lq.layers.QuantConv2D):
    """A binary dense layer as a 1x1 convolution; `stands_for` is its class in the user's model."""

    stands_for = ""


def _dense_as_convolution(layer: keras.layers.Dense) -> Replacement:
    config = layer.get_config()
    shared = ("name", "use_bias", "activation", "kernel_quantizer")
    convolution = DenseAsConvolution(
        layer.units,
        1,
        input_quantizer=_input_quantizer(layer),
        **{key: config[key] for key in shared},
    )
    convolution.stands_for = type(layer).__name__
    kernel, *bias = layer.get_weights()
    return Replacement(_as_image(layer, convolution), [kernel[None, None], *bias])


def _as_image(layer: keras.layers.Dense, convolution: keras.layers.Layer) -> keras.Model:
    """A 1x1 convolution applied to what a dense layer takes, whatever its rank."""
    *sizes, features = _common_shape(layer)[1:]
    # The nested model has the layer's name too: it is what the outer one knows.
    nested = keras.Sequential([keras.Input((*sizes, features))], name=layer.name)
    if len(sizes) == 2:
        nested.add(convolution)
        return nested
    known = [-1 if size is None else size for size in sizes]
    image = (-1 if None in sizes else math.prod(known), 1, features)
    nested.add(keras.layers.Reshape(image, name=f"{layer.name}_image"))
    nested.add(convolution)
    nested.add(keras.layers.Reshape((*known, layer.units), name=f"{layer.name}_features"))
    return nested


def _common_shape(layer: keras.layers.Layer) -> tuple[int | None, ...]:
    """The shape of the tensors that a layer takes in its uses; None where they differ."""
    axes = zip(*input_shapes(layer), strict=True)
    return tuple(sizes[0] if len(set(sizes)) == 1 else None for sizes in axes)


def _plainer_convolution(layer: lq.layers.QuantConv2D) -> Replacement | keras.layers.Layer | None:
    config = layer.get_config()
    negative = pads(layer) and layer.pad_values == NEGATIVE
    if not pads(layer) or negative:
        config.update(padding="valid", pad_values=0.0)
    if negative or not sees_signs_directly(layer):
        config["input_quantizer"] = _sign()
    plainer = type(layer).from_config(config)
    return _padded_before(layer, plainer) if negative else plainer


def _padded_before(layer: lq.layers.QuantConv2D, convolution: keras.layers.Layer) -> Replacement:
    """A convolution on an image padded with -1; LCE has no operator that pads a packed one so."""
    # Judged binary, it pads in one known way.
    (padding,) = same_paddings(layer) or [()]
    image = keras.Input(_common_shape(layer)[1:])
    padded = tf.pad(image, [(0, 0), *padding, (0, 0)], constant_values=NEGATIVE)
    nested = keras.Model(image, convolution(padded), name=layer.name)
    return Replacement(nested, layer.get_weights())


def _takes_sign_again(layer: keras.layers.Layer) -> bool:
    """Whether a binary layer's replacement has a sign of its own."""
    reshaped = isinstance(layer, keras.layers.Dense) and len(_common_shape(layer)) != 4
    own = getattr(layer, "input_quantizer", None) is not None
    return own or reshaped or not sees_signs_directly(layer)


def _input_quantizer(layer: keras.layers.Layer) -> Any:
    return _sign() if _takes_sign_again(layer) else None


def _sign() -> dict[str, Any]:
    return lq.quantizers.serialize(lq.quantizers.SteSign(dtype="float32"))


def _trimmed_padding(layer: keras.layers.ZeroPadding2D) -> keras.layers.Layer | None:
    users = _strided_users(layer)
    if not users:
        return None
    paddings = {_trim(layer, user) for user in users}
    if len(paddings) > 1 or len(_users(layer)) != len(users):
        names = ", ".join(sorted(repr(user.name) for user in _users(layer)))
        raise ValueError(
            f"Expected the padding {layer.name!r} to serve one strided convolution. Received: "
            f"it serves {names}, and LCE 0.16 would pad wrongly. Give each its own ZeroPadding2D."
        )
    (padding,) = paddings
    return keras.layers.ZeroPadding2D(padding, name=layer.name)


def _trim(layer: keras.layers.ZeroPadding2D, user: keras.layers.Layer) -> Any:
    """The paddings without what no window of the user reaches: ((top, bottom), (left, right))."""
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


def _strided_users(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    return [
        user
        for user in _users(layer)
        if isinstance(user, keras.layers.Conv2D | keras.layers.DepthwiseConv2D)
        and user.padding == "valid"
        and max(user.strides) > 1
    ]


def _users(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    return consumers(layer)


def _is_sign_taken_again(uses: list[Call]) -> bool:
    """Whether all uses of a layer are signs that binary layers alone take, and take again."""
    return all(
        isinstance(call.layer, lq.quantizers.Quantizer)
        and is_sign(call.layer)
        and _reaches_signs_alone(call)
        for call in uses
    )


def _reaches_signs_alone(call: Call) -> bool:
    """Whether every way from a call leads to a sign, through layers that keep the order."""
    return not call.is_output and bool(call.users) and all(map(_leads_to_sign, call.users))


def _leads_to_sign(call: Call) -> bool:
    if isinstance(call.layer, SIGN_PRESERVING_LAYERS):
        return _reaches_signs_alone(call)
    return (
        is_kernel_layer(call.layer)
        and lint_layer(call.layer).binary
        and _takes_sign_again(call.layer)
    )


def _is_pad_operation(layer: keras.layers.Layer) -> bool:
    return getattr(layer, "symbol", None) in ("pad", "compat.v1.pad", "raw_ops.Pad")
