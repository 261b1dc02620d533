"""Copies a model with some of its layers replaced: the one rewrite that all others are built on."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tf_keras as keras

from kbnn import _checks
from kbnn.graph.layers import from_config, weights_by_name
from kbnn.graph.nodes import has_graph
from kbnn.graph.replay import copy_graph
from kbnn.graph.variables import check_variables


class Replacement(NamedTuple):
    """What `rewrite` puts in place of a layer.

    Attributes:
        layer: the new layer, or model; not yet called.
        weights: arrays for the new layer's `set_weights`; or a function that receives the new
            layer, once it is built, and sets its weights. By default, weights that both layers have
            are copied by name and shape; other weights keep their initial values.
        then: a layer to apply to the output of the new layer; None for nothing.
    """

    layer: keras.layers.Layer
    weights: list[np.ndarray] | Callable[[keras.layers.Layer], None] | None = None
    then: keras.layers.Layer | None = None


class _Remove:
    """The type of `REMOVE`."""


REMOVE = _Remove()

Replace = Callable[[keras.layers.Layer], Replacement | keras.layers.Layer | _Remove | None]


def rewrite(model: keras.Model, replace: Replace, *, name: str | None = None) -> keras.Model:
    """Copy a model, its weights included, with some of its layers replaced.

    A layer that is used several times is replaced once and stays shared. Nested models are
    rewritten too, at any depth. The given model does not change.

    Args:
        model: a built functional or Sequential model.
        replace: called once with each layer that is not itself a functional or Sequential model.
            Return the new layer, a `Replacement`, None to copy the layer, or `REMOVE` to take it
            out: its first argument then goes to the layers behind it. The new layer, which may be
            a small model, must accept the tensors that the old layer accepts.
        name: name of the new model; by default the old one.

    Returns:
        The new model, not compiled.

    Raises:
        TypeError: the model, or one nested in it, is subclassed, or belongs to Keras 3.
        ValueError: the model is not built, or a layer to be copied has a quantizer of yours that is
            not registered with Keras.

    Example:
        >>> import kbnn, tf_keras as keras
        >>> model = keras.Sequential(
        ...     [keras.Input((4,)), keras.layers.ReLU(), keras.layers.Dense(2)])
        >>> smooth = lambda layer: (
        ...     keras.layers.Activation("gelu") if isinstance(layer, keras.layers.ReLU) else None)
        >>> [type(layer).__name__ for layer in kbnn.graph.rewrite(model, smooth).layers[1:]]
        ['Activation', 'Dense']
    """
    check_rewritable(model)
    substitutes: dict[int, Callable] = {}
    copied: list[tuple[keras.layers.Layer, keras.layers.Layer]] = []
    replaced: list[tuple[keras.layers.Layer, Replacement]] = []

    def substitute(layer: keras.layers.Layer) -> Callable:
        if id(layer) not in substitutes:
            substitutes[id(layer)] = make_substitute(layer)
        return substitutes[id(layer)]

    def make_substitute(layer: keras.layers.Layer) -> Callable:
        if isinstance(layer, keras.Model):
            return copy_graph(layer, substitute)
        replacement = replace(layer)
        if isinstance(replacement, _Remove):
            return _pass_on_first_argument
        if replacement is None:
            new = from_config(layer, layer.get_config())
            copied.append((layer, new))
            return new
        if not isinstance(replacement, Replacement):
            replacement = Replacement(replacement)
        _checks.keras2_layer("replace(layer)", replacement.layer)
        replaced.append((layer, replacement))
        return _call_in_turn(replacement)

    new_model = copy_graph(model, substitute, name)
    for layer, copy in copied:
        copy.set_weights(layer.get_weights())
    for layer, replacement in replaced:
        if replacement.weights is None:
            _copy_weights_by_name(layer, replacement.layer)
        elif callable(replacement.weights):
            replacement.weights(replacement.layer)
        else:
            replacement.layer.set_weights(replacement.weights)
    return new_model


def check_rewritable(model: Any, path: str = "model") -> None:
    """Raise TypeError or ValueError, as `rewrite` does, unless the model can be rewritten."""
    _checks.keras2_model("model", model)
    if not has_graph(model):
        is_wrapper = isinstance(getattr(model, "model", None), keras.Model)
        way_out = (
            "Give the model that it trains, its `model`."
            if is_wrapper
            else "Build it with keras.Model(inputs, outputs)."
        )
        raise TypeError(
            "Expected a functional or Sequential model, whose layers and connections Keras knows. "
            f"Received: {path}={model.name!r}, a subclassed model ({type(model).__name__}). "
            f"{way_out}"
        )
    if not model.built or not model.inputs:
        raise ValueError(
            "Expected a built model. "
            f"Received: {path}={model.name!r} without an input shape. Give it a keras.Input."
        )
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            check_rewritable(layer, path=f"{path}/{layer.name}")
    if path == "model":
        check_variables(model)


def _pass_on_first_argument(first: Any, *_: Any, **__: Any) -> Any:
    return first


def _call_in_turn(replacement: Replacement) -> Callable:
    """Return what calls a replacement's layer and then its second one, if there is a second."""
    then = replacement.then
    if then is None:
        return replacement.layer
    return lambda *args, **kwargs: then(replacement.layer(*args, **kwargs))


def _copy_weights_by_name(old: keras.layers.Layer, new: keras.layers.Layer) -> None:
    sources = weights_by_name(old)
    for name, variable in weights_by_name(new).items():
        source = sources.get(name)
        if source is not None and source.shape == variable.shape:
            variable.assign(source)
