"""The layers of a model, a layer's weights by name, and a copy of a layer."""

import inspect
from typing import Any

import tf_keras as keras

from kbnn._larq import Quantizer
from kbnn.graph.larq_quantizers import weights_without_quantizers


def layers_of(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers of a model and of the models nested in it, each once, in order of use."""
    seen: dict[int, keras.layers.Layer] = {}
    for layer in model.layers:
        inner = layers_of(layer) if isinstance(layer, keras.Model) else [layer]
        seen.update((id(found), found) for found in inner)
    return list(seen.values())


def weights_by_name(layer: keras.layers.Layer) -> dict[str, Any]:
    """Return a layer's variables by the last part of their names (`kernel`, `gamma`).

    Names that occur twice are left out, and so are the variables of the layer's quantizers.
    """
    weights = weights_without_quantizers(layer)
    names = [variable.name.split("/")[-1].split(":")[0] for variable in weights]
    return {
        name: variable
        for name, variable in zip(names, weights, strict=True)
        if names.count(name) == 1
    }


def from_config(layer: keras.layers.Layer, config: dict[str, Any]) -> keras.layers.Layer:
    """Return a new layer of a layer's class, made from a config.

    A config names functions and classes, such as an activation or an initializer of your own, and
    Keras finds only those that are registered. The new layer therefore gets the layer's own ones,
    unless the config differs from the layer's.

    Raises:
        ValueError: a quantizer in the config is not registered with Keras.
    """
    unregistered = [
        f"{argument}={name}"
        for argument, value in config.items()
        if isinstance(getattr(layer, argument, None), Quantizer)
        for name in _unregistered_classes(value)
    ]
    # Keras raises an error of many lines, or puts the name of the class in its place.
    if unregistered:
        raise ValueError(
            f"Expected the quantizers of layer {layer.name!r} to be registered with Keras, which "
            f"copies, saves and loads layers by their config. Received: {', '.join(unregistered)}. "
            'Put @keras.utils.register_keras_serializable("my_package") above the class, where '
            "keras is tf_keras."
        )
    return type(layer).from_config({**config, **_own_objects(layer, config)})


def _own_objects(layer: keras.layers.Layer, config: dict[str, Any]) -> dict[str, Any]:
    """Return the functions and unregistered objects of a layer that a config of it describes."""
    own = {
        argument: value
        for argument in config
        if argument != "function"  # an operation of TensorFlow, which Keras finds by its symbol
        if inspect.isroutine(value := getattr(layer, argument, None))
        or (not isinstance(value, keras.layers.Layer) and _unregistered_classes(config[argument]))
    }
    before = layer.get_config() if own else {}
    return {
        argument: value
        for argument, value in own.items()
        if argument in before and before[argument] == config[argument] is not None
    }


def _unregistered_classes(config: Any) -> list[str]:
    """Return the names of the classes in a quantizer's config that Keras does not know."""
    if not isinstance(config, dict):
        return []
    inside = [name for value in config.values() for name in _unregistered_classes(value)]
    name = config.get("registered_name")
    if name is not None and keras.utils.get_registered_object(name) is None:
        return [name, *inside]
    return inside
