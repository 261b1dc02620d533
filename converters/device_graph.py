"""The frozen model in the form that LCE compiles rightly: same function, other layers."""

from typing import Any

import larq as lq
import tf_keras as keras

from kbnn.converters.lint import judge
from kbnn.training.rewrite import Replacement, rewrite


def device_graph(frozen: keras.Model) -> keras.Model:
    """Rewrite a frozen model for LCE; the function that it computes stays the same.

    - A binary dense layer, for which LCE has no operator, becomes a 1x1 binary convolution.
    - `ZeroPadding2D` before a strided convolution loses the rows and columns that no window
      reaches. LCE 0.16 takes a symmetric padding there for Keras's "same", which pads elsewhere,
      and the file would be wrong; trimmed, the padding is not symmetric.

    Raises:
        ValueError: a padding before a strided convolution that cannot be trimmed; with the layer's
            name and the way out.
    """

    def replace(layer: keras.layers.Layer) -> Replacement | keras.layers.Layer | None:
        if isinstance(layer, keras.layers.ZeroPadding2D):
            return _trimmed_padding(layer)
        if isinstance(layer, keras.layers.Dense) and judge(layer).binary:
            return _dense_as_convolution(layer)
        if _is_pad_operation(layer) and _strided_users(layer):
            raise ValueError(
                f"Expected keras.layers.ZeroPadding2D or padding='same' before the strided layer "
                f"{_strided_users(layer)[0].name!r}. Received: a tf.pad operation "
                f"({layer.name!r}), which LCE 0.16 can compile to a wrong padding."
            )
        return None

    return rewrite(frozen, replace)


def _dense_as_convolution(layer: keras.layers.Dense) -> Replacement | None:
    if len(layer.input_shape) != 2:
        return None
    config = layer.get_config()
    features = layer.input_shape[-1]
    shared = ("name", "use_bias", "activation", "kernel_quantizer")
    convolution = lq.layers.QuantConv2D(
        layer.units,
        1,
        input_quantizer=config.get("input_quantizer"),
        **{key: config[key] for key in shared},
    )
    kernel, *bias = layer.get_weights()
    # The nested model has the layer's name too: it is what the outer one knows.
    nested = keras.Sequential(
        [
            keras.Input((features,)),
            keras.layers.Reshape((1, 1, features)),
            convolution,
            keras.layers.Reshape((layer.units,)),
        ],
        name=layer.name,
    )
    return Replacement(nested, [kernel[None, None], *bias])


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
    return [node.layer for node in layer.outbound_nodes]


def _is_pad_operation(layer: keras.layers.Layer) -> bool:
    return getattr(layer, "symbol", None) in ("pad", "compat.v1.pad", "raw_ops.Pad")
