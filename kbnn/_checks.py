"""Refuses models and layers of Keras 3 with the way out, before any work."""

from typing import Any

import tf_keras as keras

_WAY_OUT = (
    "Build it with tf_keras (Keras 2): `import kbnn` before anything else, then "
    "`import tf_keras as keras`. Larq, and so kbnn, does not run on Keras 3."
)


def check_model(model: Any, argument: str = "model") -> None:
    """Raise TypeError unless `model` is a Keras 2 model."""
    if not isinstance(model, keras.Model):
        raise TypeError(_message(f"`{argument}` to be a Keras 2 model", argument, model))


def check_layer(layer: Any, argument: str) -> None:
    """Raise TypeError unless `layer` is a Keras 2 layer."""
    if not isinstance(layer, keras.layers.Layer):
        raise TypeError(_message(f"`{argument}` to be a Keras 2 layer", argument, layer))


def check_built(model: keras.Model) -> None:
    """Raise ValueError unless a model has its weights."""
    if not model.built:
        raise ValueError(
            "Expected a model that has its weights. Received: "
            f"model={model.name!r}, not built. Begin it with keras.Input, or call it on a batch."
        )


def _message(expected: str, argument: str, value: Any) -> str:
    kind = type(value)
    received = f"Expected {expected}. Received: {argument}={kind.__module__}.{kind.__qualname__}."
    is_keras_3 = any(base.__module__.split(".")[0] == "keras" for base in kind.__mro__)
    return f"{received} {_WAY_OUT}" if is_keras_3 else received
