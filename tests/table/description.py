"""What must survive saving and loading: a network's outputs, weights, layers and quantizers."""

import json

import numpy as np
import tf_keras as keras

from tests.table.small_network import images, model_quantizers, weights_by_name


def describe(model: keras.Model) -> dict[str, np.ndarray]:
    """Arrays, and configs as JSON, of a network."""
    x, _ = images(8)
    arrays = {"outputs": model(x).numpy()}
    # A loaded model may list its weights in another order; those of a layer keep theirs.
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
    """A layer's class and arguments.

    A SavedModel revives a class that is not registered as another of the same name, which computes
    the same but has none of its methods: it could not be frozen.
    """
    name = f"{type(layer).__module__}.{type(layer).__name__}"
    return np.array(json.dumps([name, plain_config(layer)], sort_keys=True))


def plain_config(layer: keras.layers.Layer) -> dict:
    """A layer's arguments as JSON has them (tuples become lists)."""
    return json.loads(json.dumps(layer.get_config()))


def plain_attributes(layer: keras.layers.Layer) -> dict:
    """What a layer remembers of its arguments, whether or not its config says so."""
    kinds = (bool, int, float, str, tuple, type(None))
    # Keras notes here whether all arguments were plain ones, which those of a config always are.
    ignored = "_auto_get_config"
    return {
        name: value
        for name, value in vars(layer).items()
        if isinstance(value, kinds) and name != ignored
    }


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Raise AssertionError where two descriptions differ; the outputs may in their last digits."""
    assert found.keys() == expected.keys(), found.keys() ^ expected.keys()
    for name, value in expected.items():
        if name == "outputs":
            np.testing.assert_allclose(found[name], value, atol=1e-5)
        else:
            np.testing.assert_array_equal(found[name], value, err_msg=name)
