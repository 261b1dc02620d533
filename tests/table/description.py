"""What saving and loading must keep: a network's outputs, weights, layers and quantizers."""

import json

import numpy as np
import tf_keras as keras

from tests.table.small_network import images, model_quantizers, weights_by_name


def describe(model: keras.Model) -> dict[str, np.ndarray]:
    """Return the arrays of a network, and its configs as JSON."""
    x, _ = images(8)
    arrays = {"outputs": model(x).numpy()}
    # A loaded model may list its weights in another order. A layer keeps the order.
    for layer in model.layers:
        arrays[layer.name] = identity(layer)
        for i, value in enumerate(layer.get_weights()):
            arrays[f"{layer.name}/{i}"] = value
    for i, quantizer in enumerate(model_quantizers(model)):
        arrays[f"quantizer_{i}"] = identity(quantizer)
        for name, value in weights_by_name(quantizer).items():
            arrays[f"quantizer_{i}/{name}"] = value
    return arrays


def identity(layer: keras.layers.Layer) -> np.ndarray:
    """Return a layer's class and arguments.

    A SavedModel loads an unregistered class as a generic one with the same name and outputs, but
    without its methods. It could not be frozen.
    """
    name = f"{type(layer).__module__}.{type(layer).__name__}"
    return np.array(json.dumps([name, plain_config(layer)], sort_keys=True))


def plain_config(layer: keras.layers.Layer) -> dict:
    """Return a layer's arguments as JSON has them, with lists for tuples."""
    return json.loads(json.dumps(layer.get_config()))


def plain_attributes(layer: keras.layers.Layer) -> dict:
    """Return a layer's plain attributes, which its config may omit."""
    kinds = (bool, int, float, str, tuple, type(None))
    # It tells Keras whether all arguments were plain. Those from a config always are.
    ignored = "_auto_get_config"
    return {
        name: value
        for name, value in vars(layer).items()
        if isinstance(value, kinds) and name != ignored
    }


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Raise AssertionError if two descriptions differ, except in the last digits of outputs."""
    assert found.keys() == expected.keys(), found.keys() ^ expected.keys()
    for name, value in expected.items():
        if name == "outputs":
            np.testing.assert_allclose(found[name], value, atol=1e-5)
        else:
            np.testing.assert_array_equal(found[name], value, err_msg=name)
