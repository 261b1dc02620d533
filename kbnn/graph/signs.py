"""Whether tensors in a model's graph are +1 or -1."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import tf_keras as keras

from kbnn.graph import hooks
from kbnn.graph.calls import Call
from kbnn.graph.larq_quantizers import is_quantizer, is_sign
from kbnn.graph.nodes import producers

# Layers that only pass on, choose, repeat or drop values.
_SIGN_PRESERVING_LAYERS = (
    keras.layers.Concatenate,
    keras.layers.Cropping1D,
    keras.layers.Cropping2D,
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.GlobalMaxPooling1D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.Permute,
    keras.layers.RepeatVector,
    keras.layers.Reshape,
    keras.layers.UpSampling1D,
)

_Source = TypeVar("_Source")


def preserves_signs(layer: keras.layers.Layer) -> bool:
    """Whether a layer only passes on, chooses, repeats or drops values, so that +-1 stays +-1."""
    if isinstance(layer, keras.layers.UpSampling2D):
        return layer.interpolation == "nearest"
    return isinstance(layer, _SIGN_PRESERVING_LAYERS)


def outputs_are_binary(layer: keras.layers.Layer) -> bool:
    """Whether all outputs of a layer at inference are +1 or -1.

    It knows only the layer's own model, where `gives_signs` also looks into other nested models.
    """
    return _outputs_are_binary(layer, producers(layer), outputs_are_binary)


def inputs_are_binary(layer: keras.layers.Layer) -> bool:
    """Whether a layer with a kernel multiplies only +1 and -1 at inference.

    It knows only the layer's own model, where `takes_signs` also looks into other nested models.
    """
    return _inputs_are_binary(layer, producers(layer), outputs_are_binary)


def gives_signs(call: Call | None) -> bool:
    """Whether all outputs of a call at inference are +1 or -1. None is an input of the model."""
    return call is not None and _outputs_are_binary(call.layer, call.producers, gives_signs)


def takes_signs(calls: Iterable[Call]) -> bool:
    """Whether a layer with a kernel multiplies only +1 and -1 in all these calls, if any."""
    calls = list(calls)
    return bool(calls) and all(
        _inputs_are_binary(call.layer, call.producers, gives_signs) for call in calls
    )


def _outputs_are_binary(
    layer: keras.layers.Layer, sources: list[_Source], are_binary: Callable[[_Source], bool]
) -> bool:
    if is_sign(layer) or hooks.has_binary_outputs(layer):
        return True
    activation = getattr(layer, "activation", None)
    if activation is not None and is_quantizer(activation):
        return is_sign(activation)
    return preserves_signs(layer) and bool(sources) and all(map(are_binary, sources))


def _inputs_are_binary(
    layer: keras.layers.Layer, sources: list[_Source], are_binary: Callable[[_Source], bool]
) -> bool:
    if getattr(layer, "input_quantizer", None) is not None:
        return is_sign(layer.input_quantizer)
    return bool(sources) and all(map(are_binary, sources))
