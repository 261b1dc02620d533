"""Runs through a model's graph again, with other layers or other tensors."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn.graph.nodes import arguments_of, nodes_of, tensors_given


def copy_graph(
    model: keras.Model, copy: Callable[[keras.layers.Layer], Callable], name: str | None = None
) -> keras.Model:
    """Build a model that calls copies of a model's layers as the model calls the layers.

    `keras.models.clone_model` cannot remove a layer, and does not return if a layer becomes a
    model.

    Args:
        model: a built functional or Sequential model.
        copy: returns what to call in place of a layer, or of a nested model.
        name: name of the new model; by default the old one.

    Returns:
        The new model.
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
    """Go through the calls of layers in a model, in order, with new tensors.

    Args:
        model: a built functional or Sequential model.
        new_tensors: new tensors by the ids of the model's tensors. It must hold the tensors that
            the model begins with; the outputs of all calls are added to it.
        apply: called with each node and its arguments, which hold the new tensors. Returns the new
            outputs.
    """
    for node in nodes_of(model):
        arguments, options = substitute_tensors(arguments_of(node), new_tensors)
        outputs = apply(node, *arguments, **options)
        for old, new in zip(tensors_given(node), tf.nest.flatten(outputs), strict=True):
            new_tensors[id(old)] = new


def substitute_tensors(structure: Any, new_tensors: dict[int, Any]) -> Any:
    """Return a structure of tensors in which the model's tensors are replaced by new ones."""
    return tf.nest.map_structure(lambda value: new_tensors.get(id(value), value), structure)
