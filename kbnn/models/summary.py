"""Summarizes the network that ships: bits, bytes and multiply-accumulates."""

from collections.abc import Callable
from typing import Any

import tf_keras as keras

from kbnn._larq import SteSign, larq_summary, serialize_quantizer
from kbnn.graph.calls import Call, calls_of
from kbnn.graph.freeze import freeze
from kbnn.graph.layers import from_config
from kbnn.graph.rewrite import rewrite
from kbnn.graph.signs import takes_signs


def summary(model: keras.Model, print_fn: Callable[[str], Any] | None = None) -> None:
    """Print Larq's summary of the frozen model.

    Larq's own `larq.models.summary(model)` also counts weights that only training needs, such as
    the weights of a quantizer, and counts kernels by the precision that their quantizer claims.
    This function counts only the network that ships, with binary kernels of 1 bit.

    Args:
        model: a built functional or Sequential model, trained or not.
        print_fn: called with each table instead of `print`.

    Raises:
        TypeError, ValueError: `kbnn.converters.freeze` refuses the model.

    >>> import kbnn
    >>> kbnn.models.summary(kbnn.models.vgg_tiny(width=8))      # doctest: +ELLIPSIS
    +vgg_tiny stats...
    """
    frozen = freeze(model)
    calls: dict[int, list[Call]] = {}
    for call in calls_of(frozen):
        calls.setdefault(id(call.layer), []).append(call)

    def with_input_bits(layer: keras.layers.Layer) -> keras.layers.Layer | None:
        return _with_input_bits(layer) if takes_signs(calls.get(id(layer), [])) else None

    larq_summary(rewrite(frozen, with_input_bits), print_fn=print_fn)


def _with_input_bits(layer: keras.layers.Layer) -> keras.layers.Layer | None:
    """Give a layer that takes signs its own sign, from which Larq reads the number of bits."""
    if not hasattr(layer, "input_quantizer") or layer.input_quantizer is not None:
        return None
    sign = serialize_quantizer(SteSign(name=f"{layer.name}_input_quantizer"))
    return from_config(layer, {**layer.get_config(), "input_quantizer": sign})
