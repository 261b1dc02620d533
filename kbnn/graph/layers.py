"""The layers of a model, a layer's weights by name, and a copy of a layer."""

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
    return type(layer).from_config(config)


def _unregistered_classes(config: Any) -> list[str]:
    """Return the names of the classes in a quantizer's config that Keras does not know."""
    if not isinstance(config, dict):
        return []
    inside = [name for value in config.values() for name in _unregistered_classes(value)]
    name = config.get("registered_name")
    if name is not None and keras.utils.get_registered_object(name) is None:
        return [name, *inside]
    return inside
