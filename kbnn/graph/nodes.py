"""Keras's private record of a model's graph: which layer was called on which tensors.

A node is one call of a layer. Only `kbnn.graph` uses the attributes that are read here.
"""

from typing import Any

import tensorflow as tf
import tf_keras as keras

Node = Any
"""One call of a layer. Keras 2 has no public type for it."""


def nodes_of(model: keras.Model) -> list[Node]:
    """Return the calls of layers that a functional or Sequential model makes, in order.

    A nested model is one call. A model without a graph, subclassed or not built, gives no calls.
    """
    by_depth = getattr(model, "_nodes_by_depth", {})
    return [
        node
        for depth in sorted(by_depth, reverse=True)
        for node in by_depth[depth]
        if not node.is_input
    ]


def has_graph(model: keras.Model) -> bool:
    """Whether Keras knows the layers and connections of a model: functional or Sequential."""
    return isinstance(model, keras.Sequential) or model._is_graph_network


def layer_of(tensor: Any) -> keras.layers.Layer:
    """Return the layer that gives a tensor of a model."""
    return tensor._keras_history.layer


def tensors_before(tensor: Any) -> list[Any]:
    """Return the tensors that the call that gives a tensor takes."""
    layer, node_index, _ = tensor._keras_history
    return tensors_taken(layer.inbound_nodes[node_index])


def tensors_taken(node: Node) -> list[Any]:
    """Return the tensors that a call takes."""
    return tf.nest.flatten(node.keras_inputs)


def tensors_given(node: Node) -> list[Any]:
    """Return the tensors that a call gives."""
    return tf.nest.flatten(node.outputs)


def arguments_of(node: Node) -> tuple[tuple, dict[str, Any]]:
    """Return the positional and keyword arguments of a call."""
    return node.call_args, node.call_kwargs


def outputs_of(layer: keras.layers.Layer) -> list[Any]:
    """Return the tensors that a layer gives in all its calls."""
    return [tensor for node in layer.inbound_nodes for tensor in tensors_given(node)]


def has_mask(tensor: Any) -> bool:
    """Whether Keras hands a mask on with a tensor."""
    return getattr(tensor, "_keras_mask", None) is not None


def producers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Return the layers whose outputs a layer takes, in all its calls."""
    return [
        producer
        for node in layer.inbound_nodes
        for producer in tf.nest.flatten(node.inbound_layers)
    ]


def input_shapes(layer: keras.layers.Layer) -> list[tuple[int | None, ...]]:
    """Return the shapes of the tensor that a layer takes in its calls, each shape once."""
    return list(dict.fromkeys(tuple(node.input_shapes) for node in layer.inbound_nodes))
