"""The columns of freezing and conversion."""

import pathlib
import tempfile

import larq as lq
import numpy as np

from kbnn import converters
from tests.table.rows import ModelRow
from tests.table.small_network import images, moved_network


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
