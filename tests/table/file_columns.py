"""The columns of what a network becomes: files, copies, frozen networks and device files."""

import pathlib
import tempfile
import warnings

import larq as lq
import numpy as np
import tf_keras as keras

from kbnn import converters
from kbnn.graph.larq_quantizers import quantizers_of
from tests.table.description import assert_same, describe, plain_attributes, plain_config
from tests.table.fresh_process import call_in_fresh_process
from tests.table.rows import ModelRow, QuantizerRow
from tests.table.small_network import (
    images,
    model_quantizers,
    moved_network,
    network,
    sample,
    state,
)


def check_alias(row: QuantizerRow) -> None:
    """Larq's layers accept the alias."""
    layer = lq.layers.QuantDense(
        4, kernel_constraint="weight_clip", **{f"{role}_quantizer": row.alias for role in row.roles}
    )
    layer(sample((4, 8)))
    for role in row.roles:
        assert type(quantizers_of(layer)[f"{role}_quantizer"]) is type(row.make())


def check_config(row: ModelRow) -> None:
    """The config has all arguments."""
    layer = row.make()
    copy = type(layer).from_config(layer.get_config())
    assert plain_config(copy) == plain_config(layer)
    assert plain_attributes(copy) == plain_attributes(layer)


def check_keras_file(row: ModelRow) -> None:
    """A `.keras` file loads without custom_objects."""
    _check_file(row, "model.keras")


def check_h5_file(row: ModelRow) -> None:
    """An `.h5` file loads without custom_objects."""
    _check_file(row, "model.h5")


def check_saved_model(row: ModelRow) -> None:
    """A SavedModel loads without custom_objects."""
    _check_file(row, "model")


def _check_file(row: ModelRow, name: str) -> None:
    model = moved_network(row)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You are saving your model as an HDF5 file")
        path = pathlib.Path(folder, name)
        description = pathlib.Path(folder, "description.npz")
        model.save(path)
        np.savez(description, **describe(model))
        call_in_fresh_process(load, row=row, path=str(path), description=str(description))


def load(row: ModelRow, path: str, description: str) -> None:
    """Load a model without custom_objects and compare it with its description.

    The row is not used. That its module is imported registers the classes of the tests.
    """
    model = keras.models.load_model(path)
    with np.load(description) as before:
        assert_same(describe(model), dict(before))


def check_weights_file(row: ModelRow) -> None:
    """A new network that loads the weights, in HDF5 or TensorFlow's format, equals the first."""
    model = moved_network(row)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("weights.h5", "weights"):
            path = pathlib.Path(folder, name)
            model.save_weights(path)
            copy = network(row)
            copy.load_weights(path)
            np.testing.assert_allclose(copy(images()[0]), model(images()[0]), atol=1e-6)
            for one, other in zip(_states(copy), _states(model), strict=True):
                np.testing.assert_array_equal(one, other, err_msg=name)


def _states(model: keras.Model) -> list[np.ndarray]:
    return [weight.numpy() for quantizer in model_quantizers(model) for weight in state(quantizer)]


def check_clone_model(row: ModelRow) -> None:
    """A clone by `clone_model` that gets the weights equals the network."""
    model = moved_network(row)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    assert_same(describe(clone), describe(model))


def check_freeze(row: ModelRow) -> None:
    """The frozen network computes the same, with layers of Keras and Larq only."""
    model = moved_network(row)
    frozen = converters.freeze(model)
    x, _ = images()
    np.testing.assert_allclose(frozen(x), model(x), rtol=1e-4, atol=1e-4)
    conv = frozen.get_layer("conv")
    assert type(conv.input_quantizer) is lq.quantizers.SteSign
    magnitudes = np.abs(conv.get_weights()[0])
    assert (magnitudes == magnitudes[0, 0, 0]).all()
    packages = {type(layer).__module__.split(".")[0] for layer in frozen.submodules}
    assert packages <= {"tf_keras", "larq"}, packages


def check_convert(row: ModelRow) -> None:
    """The convolution becomes a binary operator, and the file computes the same as the network."""
    model = moved_network(row)
    x, _ = images(64)
    labels = model(x).numpy().argmax(axis=1)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model.tflite")
        report = converters.convert(model, path, verify_data=(x, labels)).report
    (operator,) = (layer.operator for layer in report.layers if layer.layer == "conv")
    assert operator == "LceBconv2d"
