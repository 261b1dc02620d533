"""Checks that a model knows its variables, which it trains, copies and saves."""

from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn import _checks
from kbnn.graph.nodes import Node, arguments_of, nodes_of


def check_variables(model: keras.Model) -> None:
    """Raise an error if a model computes with a variable that none of its layers has.

    Keras 2 takes such a variable without a word: nothing trains it, and copies share it. Layers of
    Keras 3 become operations with such variables.

    Raises:
        TypeError: a layer of Keras 3 is in the model.
        ValueError: an operation uses a `tf.Variable` that is not a weight of the model.
    """
    known = {id(weight) for weight in model.weights}
    for node, value in _arguments(model):
        if _belongs_to_keras_3(value):
            raise TypeError(
                f"Expected layers of Keras 2. Received: model={model.name!r} with the variable "
                f"{value.path!r} of a Keras 3 layer in {node.layer.name!r}. {_checks.WAY_OUT}"
            )
        if isinstance(value, tf.Variable) and id(value) not in known:
            raise ValueError(
                "Expected each variable to be a weight of one of the model's layers, because "
                f"otherwise nothing trains or copies it. Received: {value.name!r} in the operation "
                f"{node.layer.name!r} of model={model.name!r}. Make it a weight of a layer of your "
                "own, with `add_weight`."
            )


def _arguments(model: keras.Model) -> Iterator[tuple[Node, Any]]:
    """Every argument of every call in a model and the models nested in it."""
    for node in nodes_of(model):
        for value in tf.nest.flatten(arguments_of(node)):
            yield node, value
        if isinstance(node.layer, keras.Model):
            yield from _arguments(node.layer)


def _belongs_to_keras_3(value: Any) -> bool:
    kind = type(value)
    return kind.__module__.split(".")[0] == "keras" and hasattr(value, "path")
