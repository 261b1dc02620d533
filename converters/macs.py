"""Counts the multiply-accumulates of a layer."""

import math

import tf_keras as keras

from kbnn.graph.calls import Call

_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
# Each of their weights is used once for each position of the output.
_SLIDING = (
    *(keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D),
    *(keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D),
    *(keras.layers.SeparableConv1D, keras.layers.SeparableConv2D),
)


def macs_of(calls: list[Call]) -> int | None:
    """Multiply-accumulates for one image in all calls of a layer; None if they are not known."""
    counts = [_macs(call) for call in calls]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _macs(call: Call) -> int | None:
    layer = call.layer
    if isinstance(layer, keras.layers.EinsumDense):
        return _einsum(call)
    if isinstance(layer, keras.layers.Dense):
        return _product(layer.kernel.shape, call.input_shapes[0][1:-1])
    if isinstance(layer, _TRANSPOSED):
        return _product(layer.kernel.shape, _positions(layer, call.input_shapes[0]))
    if isinstance(layer, _SLIDING):
        weights = sum(math.prod(weight.shape) for weight in layer.weights if len(weight.shape) > 1)
        return _product((weights,), _positions(layer, call.output_shapes[0]))
    return None


def _einsum(call: Call) -> int | None:
    """The kernel's size, times the sizes of the input axes that the kernel does not have."""
    layer = call.layer
    inputs, kernel = layer.equation.split("->")[0].split(",")
    sizes = dict(zip(kernel, layer.kernel.shape, strict=True))
    shared = math.prod(size for label, size in sizes.items() if label in inputs)
    count = _product(layer.kernel.shape, call.input_shapes[0][1:])
    return None if count is None else count // shared


def _positions(layer: keras.layers.Layer, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
    return shape[1:-1] if layer.data_format == "channels_last" else shape[2:]


def _product(kernel: tuple[int, ...], positions: tuple[int | None, ...]) -> int | None:
    if None in positions:
        return None
    return math.prod(kernel) * math.prod(size for size in positions if size is not None)
