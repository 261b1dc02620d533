"""Which layers take a layer's output, across the borders of nested models."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras as keras

_Sources = set[keras.layers.Layer]


class Consumers:
    """Who takes what in a functional model; layers of nested models are seen as if they were flat.

    Args:
        model: a functional or Sequential model.
    """

    def __init__(self, model: keras.Model) -> None:
        self._consumers: dict[int, _Sources] = {}
        self._outputs: set[int] = set()
        inputs: list[_Sources] = [set() for _ in model.inputs]
        for sources in self._walk(model, inputs):
            self._outputs.update(id(layer) for layer in sources)

    def of(self, layer: keras.layers.Layer) -> set[keras.layers.Layer]:
        """The layers that take the layer's output, in all its uses."""
        return self._consumers.get(id(layer), set())

    def only(self, layer: keras.layers.Layer) -> keras.layers.Layer | None:
        """The one layer that takes the layer's output; None if there are others, or an output."""
        users = self.of(layer)
        if len(users) != 1 or id(layer) in self._outputs:
            return None
        (user,) = users
        return user

    def all_match(
        self, layer: keras.layers.Layer, condition: Callable[[keras.layers.Layer], bool]
    ) -> bool:
        """Whether all that becomes of the layer's output is taken by layers of one kind."""
        return id(layer) not in self._outputs and all(map(condition, self.of(layer)))

    def _walk(self, model: keras.Model, inputs: list[_Sources]) -> list[_Sources]:
        """Note the consumers inside a model; the layers that give its outputs."""
        sources: dict[int, _Sources] = {
            id(tensor): found for tensor, found in zip(model.inputs, inputs, strict=True)
        }

        def found(structure: Any) -> list[_Sources]:
            return [sources[id(tensor)] for tensor in tf.nest.flatten(structure)]

        for depth in sorted(model._nodes_by_depth, reverse=True):
            for node in model._nodes_by_depth[depth]:
                if node.is_input:
                    continue
                taken = found(node.input_tensors)
                if isinstance(node.layer, keras.Model):
                    given = self._walk(node.layer, taken)
                else:
                    for source in set().union(*taken):
                        self._consumers.setdefault(id(source), set()).add(node.layer)
                    given = [{node.layer} for _ in tf.nest.flatten(node.outputs)]
                for tensor, layers in zip(tf.nest.flatten(node.outputs), given, strict=True):
                    sources[id(tensor)] = layers
        return found(model.outputs)
