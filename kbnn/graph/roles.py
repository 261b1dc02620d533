"""Which real-valued layers of a model come before, parallel to or after its binary layers."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn.graph.larq_quantizers import has_binary_kernel, is_binary
from kbnn.graph.layers import layers_of
from kbnn.graph.nodes import Node, layer_of, nodes_of, tensors_given, tensors_taken

ROLES = ("stem", "shortcuts", "classifier")

# Real-valued layers whose weights both paths can use.
SHAREABLE = (
    *(keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D, keras.layers.Dense),
    *(keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D, keras.layers.Conv2DTranspose),
)


class LayerRoles:
    """The position of each call of a layer relative to the binary layers of a model."""

    def __init__(self, model: keras.Model) -> None:
        self._nodes = nodes_of(model)
        self._model = model
        behind: set[int] = set()  # tensors that a binary layer has a part in
        before: set[int] = set()  # tensors that a binary layer takes a part of
        self._behind, self._before = set(), set()
        for node in self._nodes:
            if _holds_binary(node.layer) or _ids(tensors_taken(node)) & behind:
                behind |= _ids(node.outputs)
                self._behind.add(id(node))
        for node in reversed(self._nodes):
            if _holds_binary(node.layer) or _ids(node.outputs) & before:
                before |= _ids(tensors_taken(node))
                self._before.add(id(node))
        self._tensors_behind = behind

    def names(self) -> list[str]:
        """Return the names of the layers, without the layers of nested models."""
        return list(dict.fromkeys(node.layer.name for node in self._nodes))

    def role(self, node: Node) -> str:
        """Return the role of a call of a real-valued layer, one of `ROLES`."""
        if id(node) not in self._behind:
            return "stem"
        return "shortcuts" if id(node) in self._before else "classifier"

    def roles(self) -> dict[int, str]:
        """Return the role of the first call of each layer, nested or not, by the layer's id."""
        roles: dict[int, str] = {}
        for node in self._nodes:
            nested = isinstance(node.layer, keras.Model)
            for layer in layers_of(node.layer) if nested else [node.layer]:
                roles.setdefault(id(layer), self.role(node))
        return roles

    def frontier(self, shared_stem: bool) -> list[Any]:
        """Return the tensors that the twin takes over from the model."""
        own = [node for node in self._nodes if not shared_stem or id(node) in self._behind]
        made = {number for node in own for number in _ids(node.outputs)}
        taken = [tensor for node in own for tensor in tensors_taken(node)]
        taken += self._model.outputs
        return list({id(tensor): tensor for tensor in taken if id(tensor) not in made}.values())

    def features(self) -> list[str]:
        """Return the names of the layers whose outputs later binary layers or the classifier take.

        Layers that are called more than once or have several outputs are left out.
        """
        found = [
            layer_of(tensor).name
            for node in self._nodes
            if _multiplies_binary(node.layer)
            or (self.role(node) == "classifier" and isinstance(node.layer, SHAREABLE))
            for tensor in tensors_taken(node)
            if id(tensor) in self._tensors_behind
        ]
        return [name for name in dict.fromkeys(found) if len(self.outputs(name)) == 1]

    def output(self, name: str) -> Any:
        """Return the output of the layer with a name, which must come after a binary layer."""
        outputs = self.outputs(name)
        if len(outputs) != 1 or id(outputs[0]) not in self._tensors_behind:
            valid = dict.fromkeys(
                node.layer.name for node in self._nodes if id(node) in self._behind
            )
            raise ValueError(
                "Expected names of layers behind the first binary one, not in a nested model, used "
                f"once and with one output: {', '.join(valid)}. Received: {name!r}"
            )
        return outputs[0]

    def outputs(self, name: str) -> list[Any]:
        """Return all outputs of the layer with a name."""
        nodes = [node for node in self._nodes if node.layer.name == name]
        return [tensor for node in nodes for tensor in tensors_given(node)]


def _holds_binary(layer: keras.layers.Layer) -> bool:
    if isinstance(layer, keras.Model):
        return any(map(is_binary, layers_of(layer)))
    return is_binary(layer)


def _multiplies_binary(layer: keras.layers.Layer) -> bool:
    if isinstance(layer, keras.Model):
        return any(map(_multiplies_binary, layers_of(layer)))
    return has_binary_kernel(layer)


def _ids(tensors: Any) -> set[int]:
    return set(map(id, tf.nest.flatten(tensors)))
