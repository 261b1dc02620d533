"""What the argument `layers` means, wherever a function of kbnn takes it."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Literal

import tf_keras as keras

from kbnn import _checks
from kbnn._larq import Quantizer
from kbnn.graph.larq_quantizers import has_binary_kernel, is_quantizer
from kbnn.graph.layers import layers_of
from kbnn.graph.nodes import producers
from kbnn.graph.signs import preserves_signs

LayerChoice = Literal["all", "last"] | Collection[str] | Callable[[keras.layers.Layer], bool]
"""Which layers: "all", "last", names (of nested layers too), or a function from a layer to bool."""


def choose_layers(
    layers: LayerChoice,
    *,
    quantized: Sequence[keras.layers.Layer],
    last: keras.layers.Layer | None,
    possible: Sequence[keras.layers.Layer] | None = None,
) -> list[keras.layers.Layer]:
    """Return the layers that the argument `layers` chooses, in order of use.

    Args:
        layers: the argument.
        quantized: what "all" means: the layers with a quantizer.
        last: what "last" means; None for no layer.
        possible: what names and a function choose from; by default `quantized`.

    Raises:
        ValueError: another string, or the name of no layer in `possible`.
    """
    possible = quantized if possible is None else possible
    if isinstance(layers, str) and layers == "all":
        return list(quantized)
    if isinstance(layers, str) and layers == "last":
        return [] if last is None else [last]
    if callable(layers):
        return [layer for layer in possible if layers(layer)]
    if isinstance(layers, str) or not isinstance(layers, Iterable):
        raise _checks.refuse("layers", '"all", "last", a list of names or a function', layers)
    names = set(layers)
    valid = dict.fromkeys(layer.name for layer in possible)
    if not names <= valid.keys():
        unknown = ", ".join(map(repr, sorted(names - valid.keys(), key=str)))
        raise ValueError(
            f"Expected `layers` to be names of {', '.join(valid)}. Received: {unknown}"
        )
    return [layer for layer in possible if layer.name in names]


def input_quantizer_place(layer: keras.layers.Layer) -> str | None:
    """Where a layer holds the quantizer of an activation.

    Returns:
        "input_quantizer" or "activation", the attribute; "" if the layer is itself the quantizer;
        None if there is none.
    """
    if isinstance(layer, Quantizer):
        return ""
    if getattr(layer, "input_quantizer", None) is not None:
        return "input_quantizer"
    return "activation" if is_quantizer(getattr(layer, "activation", None)) else None


def last_kernel_layer(model: keras.Model) -> keras.layers.Layer | None:
    """Return what "last" means for kernels: the last layer with a quantized kernel."""
    return next(filter(has_binary_kernel, reversed(layers_of(model))), None)


def last_input_layer(model: keras.Model) -> keras.layers.Layer | None:
    """Return what "last" means for inputs: the layer that quantizes the last binary layer's input.

    The last binary layer is the last one with a quantized kernel whose input is quantized, by
    itself or by a layer before it. Without one, "last" is the last layer with a quantized input.
    """
    quantized = [layer for layer in layers_of(model) if input_quantizer_place(layer) is not None]
    for layer in reversed(layers_of(model)):
        if has_binary_kernel(layer):
            found = _quantizing_layer(layer, set(map(id, quantized)))
            if found is not None:
                return found
    return quantized[-1] if quantized else None


def _quantizing_layer(layer: keras.layers.Layer, quantized: set[int]) -> keras.layers.Layer | None:
    """Return the layer that quantizes what a layer takes: itself, or one before it."""
    if getattr(layer, "input_quantizer", None) is not None:
        return layer
    for producer in producers(layer):
        if id(producer) in quantized:
            return producer
        if preserves_signs(producer):
            return _quantizing_layer(producer, quantized)
    return None
