"""Replaces layers of a model: the one graph rewrite that everything else is made of."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import larq as lq
import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn import _checks
from kbnn.graph.larq_quantizers import weights_without_quantizers


class Replacement(NamedTuple):
    """What a layer is replaced with.

    Attributes:
        layer: the new layer, or model; not yet called.
        weights: arrays for the new layer's `set_weights`, or a function that is called with the new
            layer, once it is built, and gives it its weights. By default the weights that both
            layers have, by name and shape, are carried over, and the others keep their initial
            values.
        then: a layer to apply to the new layer's output; None for nothing.
    """

    layer: keras.layers.Layer
    weights: list[np.ndarray] | Callable[[keras.layers.Layer], None] | None = None
    then: keras.layers.Layer | None = None


class _Remove:
    """The type of `REMOVE`."""


REMOVE = _Remove()

Replace = Callable[[keras.layers.Layer], Replacement | keras.layers.Layer | _Remove | None]


def rewrite(model: keras.Model, replace: Replace, *, name: str | None = None) -> keras.Model:
    """Copy a model, some of its layers replaced, the weights carried over.

    Layers that are used several times are replaced once and stay shared; nested models are
    rewritten inside, to any depth. The given model is left as it is.

    Args:
        model: a built functional or Sequential model.
        replace: called once with each layer that is not itself a functional or Sequential model.
            Returns the layer's replacement, None to keep a copy of it, or `REMOVE` to hand the
            layer's first argument on in place of its output. A replacement takes and gives the
            tensors that the layer did; it may be a small model.
        name: name of the new model; the old one's by default.

    Returns:
        The new model, not compiled.

    Raises:
        TypeError: the model, or one nested in it, is subclassed, or belongs to Keras 3.
        ValueError: the model is not built, or a layer to be copied has a quantizer of your own that
            is not registered with Keras.

    >>> import kbnn, tf_keras as keras
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.ReLU(), keras.layers.Dense(2)])
    >>> smooth = lambda layer: (
    ...     keras.layers.Activation("gelu") if isinstance(layer, keras.layers.ReLU) else None)
    >>> [type(layer).__name__ for layer in kbnn.graph.rewrite(model, smooth).layers[1:]]
    ['Activation', 'Dense']
    """
    check_rewritable(model)
    copies: dict[int, Callable] = {}
    kept: list[tuple[keras.layers.Layer, keras.layers.Layer]] = []
    replaced: list[tuple[keras.layers.Layer, Replacement]] = []

    def copy(layer: keras.layers.Layer) -> Callable:
        if id(layer) in copies:
            return copies[id(layer)]
        new: Callable
        if isinstance(layer, keras.Model):
            new = copy_graph(layer, copy)
        else:
            replacement = replace(layer)
            if replacement is None:
                new = from_config(layer, layer.get_config())
                kept.append((layer, new))
            elif isinstance(replacement, _Remove):
                new = _first_argument
            else:
                if not isinstance(replacement, Replacement):
                    replacement = Replacement(replacement)
                _checks.keras2_layer("replace(layer)", replacement.layer)
                new = _composed(replacement)
                replaced.append((layer, replacement))
        copies[id(layer)] = new
        return new

    with _quantized_scope_restored():
        new_model = copy_graph(model, copy, name)
    for layer, twin in kept:
        twin.set_weights(layer.get_weights())
    for layer, replacement in replaced:
        if replacement.weights is None:
            _carry_weights(layer, replacement.layer)
        elif callable(replacement.weights):
            replacement.weights(replacement.layer)
        else:
            replacement.layer.set_weights(replacement.weights)
    return new_model


@contextlib.contextmanager
def _quantized_scope_restored() -> Iterator[None]:
    """Leave Larq's scope when a layer fails, which Larq itself does not."""
    before = lq.context.should_quantize()
    try:
        yield
    finally:
        if lq.context.should_quantize() != before:
            # Entered and not left, Larq's scope stays as it is set.
            lq.context.quantized_scope(before).__enter__()


def layers_of(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a model and of the models nested in it, each once, in order of use."""
    seen: dict[int, keras.layers.Layer] = {}
    for layer in model.layers:
        inner = layers_of(layer) if isinstance(layer, keras.Model) else [layer]
        seen.update((id(found), found) for found in inner)
    return list(seen.values())


def output_activation(model: keras.Model) -> Any:
    """The activation that a model's (first) output is that of; None if it is of none.

    Layers that leave values as they are, as a cast or a reshape, are looked through.
    """
    tensor = model.outputs[0]
    while True:
        layer, node_index, _ = tensor._keras_history
        if not _keeps_values(layer):
            break
        tensor = tf.nest.flatten(layer.inbound_nodes[node_index].keras_inputs)[0]
    if isinstance(layer, keras.Model):
        return output_activation(layer)
    if isinstance(layer, keras.layers.Softmax):
        return keras.activations.softmax
    # A call of tf.nn.softmax(x) is a layer of Keras's.
    return getattr(layer, "activation", None) or getattr(layer, "function", None)


def _keeps_values(layer: keras.layers.Layer) -> bool:
    is_linear = getattr(layer, "activation", None) is keras.activations.linear
    return isinstance(layer, keras.layers.Reshape | keras.layers.Flatten) or (
        isinstance(layer, keras.layers.Activation) and is_linear
    )


def gives_probabilities(model: keras.Model) -> bool:
    """Whether a model's (first) output is that of a softmax."""
    return output_activation(model) in (keras.activations.softmax, tf.nn.softmax)


def from_config(layer: keras.layers.Layer, config: dict[str, Any]) -> keras.layers.Layer:
    """A layer of the class of another one.

    Raises:
        ValueError: a quantizer is not registered with Keras; with the layer's name and the way out.
    """
    unregistered = [
        f"{argument}={name}"
        for argument, value in config.items()
        if isinstance(getattr(layer, argument, None), lq.quantizers.Quantizer)
        for name in _unregistered(value)
    ]
    # Keras itself raises an error of many lines, or puts the class's name in the class's place.
    if unregistered:
        raise ValueError(
            f"Expected the quantizers of layer {layer.name!r} to be registered with Keras, which "
            f"copies, saves and loads layers by their config. Received: {', '.join(unregistered)}. "
            'Put @keras.utils.register_keras_serializable("my_package") above the class, where '
            "keras is tf_keras."
        )
    return type(layer).from_config(config)


def _unregistered(config: Any) -> list[str]:
    """The classes in a quantizer's config that Keras does not know."""
    if not isinstance(config, dict):
        return []
    inside = [name for value in config.values() for name in _unregistered(value)]
    name = config.get("registered_name")
    if name is not None and keras.utils.get_registered_object(name) is None:
        return [name, *inside]
    return inside


def copy_graph(
    model: keras.Model, copy: Callable[[keras.layers.Layer], Callable], name: str | None = None
) -> keras.Model:
    """Call copies of a model's layers in the order and with the arguments of the originals.

    `keras.models.clone_model` would do for layers that stay layers, but it never returns where a
    layer becomes a model, and it removes none. It walks these same nodes.
    """
    inputs = [
        keras.Input(
            batch_size=tensor.shape[0], shape=tensor.shape[1:], dtype=tensor.dtype, name=key
        )
        for key, tensor in zip(model.input_names, model.inputs, strict=True)
    ]
    new_tensors = {id(old): new for old, new in zip(model.inputs, inputs, strict=True)}
    replay(model, new_tensors, lambda node, *args, **kwargs: copy(node.layer)(*args, **kwargs))
    return keras.Model(
        tf.nest.pack_sequence_as(model.input, inputs),
        substitute_tensors(model.output, new_tensors),
        name=model.name if name is None else name,
    )


def replay(model: keras.Model, new_tensors: dict[int, Any], apply: Callable[..., Any]) -> None:
    """Walk through a model's graph, with other tensors in place of its own.

    Args:
        model: a functional or Sequential model.
        new_tensors: by the id of a tensor of the model, what stands in its place: at first for its
            inputs; then for all that the nodes give too.
        apply: called with each node and the arguments that its layer is called with, renewed;
            returns what stands in place of its outputs.
    """
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if not node.is_input:
                outputs = apply(
                    node,
                    *substitute_tensors(node.call_args, new_tensors),
                    **substitute_tensors(node.call_kwargs, new_tensors),
                )
                for old, new in zip(
                    tf.nest.flatten(node.outputs), tf.nest.flatten(outputs), strict=True
                ):
                    new_tensors[id(old)] = new


def substitute_tensors(structure: Any, new_tensors: dict[int, Any]) -> Any:
    """A structure with other tensors in place of a model's own."""
    return tf.nest.map_structure(lambda value: new_tensors.get(id(value), value), structure)


def _composed(replacement: Replacement) -> Callable:
    if replacement.then is None:
        return replacement.layer
    then = replacement.then
    return lambda *args, **kwargs: then(replacement.layer(*args, **kwargs))


def _first_argument(first: Any, *_: Any, **__: Any) -> Any:
    return first


def _way_out(model: keras.Model) -> str:
    if isinstance(getattr(model, "model", None), keras.Model):
        return "Give the model that it trains, its `model`."
    return "Build it with keras.Model(inputs, outputs)."


def check_rewritable(model: Any, path: str = "model") -> None:
    """Raise TypeError or ValueError, as `rewrite` does, unless the model can be rewritten."""
    _checks.keras2_model("model", model)
    if not (isinstance(model, keras.Sequential) or model._is_graph_network):
        raise TypeError(
            "Expected a functional or Sequential model, whose layers and connections Keras knows. "
            f"Received: {path}={model.name!r}, a subclassed model ({type(model).__name__}). "
            + _way_out(model)
        )
    if not model.built or not model.inputs:
        raise ValueError(
            "Expected a built model. "
            f"Received: {path}={model.name!r} without an input shape. Give it a keras.Input."
        )
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            check_rewritable(layer, path=f"{path}/{layer.name}")


def _carry_weights(old: keras.layers.Layer, new: keras.layers.Layer) -> None:
    sources = weights_by_name(old)
    for name, variable in weights_by_name(new).items():
        source = sources.get(name)
        if source is not None and source.shape == variable.shape:
            variable.assign(source)


def weights_by_name(layer: keras.layers.Layer) -> dict[str, Any]:
    """A layer's own variables by the last part of their names (`kernel`, `gamma`), if unambiguous.

    Those of its quantizers are state of another kind: a new quantizer begins with its own.
    """
    weights = weights_without_quantizers(layer)
    names = [variable.name.split("/")[-1].split(":")[0] for variable in weights]
    return {
        name: variable
        for name, variable in zip(names, weights, strict=True)
        if names.count(name) == 1
    }
