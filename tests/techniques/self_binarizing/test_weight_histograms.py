"""The histograms agree with NumPy, survive an interruption, and can be drawn."""

import larq as lq
import numpy as np
import pytest
import tf_keras as keras

import kbnn
from kbnn.callbacks import WeightHistograms
from kbnn.quantizers import SmoothSign

LAYERS = ("dense_1", "dense_2", "dense_3")


@pytest.fixture(scope="module")
def model():
    """Three layers with smooth kernels, whose step is traced once."""
    layers = [
        lq.layers.QuantDense(8, kernel_quantizer=SmoothSign(sharpness=30.0), name=name)
        for name in LAYERS
    ]
    model = keras.Sequential([keras.Input((8,)), *layers])
    model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
    return model


def fit(model, *callbacks, **epochs):
    x = np.random.default_rng(0).normal(size=(8, 8)).astype("f")
    model.fit(x, np.arange(8), batch_size=4, verbose=0, callbacks=callbacks, **epochs)


def test_each_epoch_and_the_state_before_have_a_histogram(model, tmp_path):
    file = tmp_path / "weights.npz"
    kernel = model.get_layer("dense_2").kernel.latent_variable
    kernels = [kernel.numpy()]
    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: kernels.append(kernel.numpy()))
    fit(model, WeightHistograms(file), keep, epochs=2)
    content = np.load(file)
    assert content["epochs"].tolist() == [-1, 0, 1]
    assert set(content) == {"edges", "epochs", *(f"{name}/kernel" for name in LAYERS)}
    expected = [
        np.histogram(np.tanh(30 * value), content["edges"])[0] / value.size for value in kernels
    ]
    np.testing.assert_allclose(
        content["dense_2/kernel"], expected, atol=2 / kernel.shape.num_elements()
    )
    assert [path.name for path in tmp_path.iterdir()] == ["weights.npz"]


def test_a_resumed_training_appends_to_the_file(model, tmp_path):
    file = tmp_path / "weights.npz"
    fit(model, WeightHistograms(file), epochs=3)
    first = np.load(file)["dense_1/kernel"]
    # Epoch 2 is run again, as after an interruption before its backup.
    fit(model, WeightHistograms(file), initial_epoch=2, epochs=4)
    content = np.load(file)
    assert content["epochs"].tolist() == [-1, 0, 1, 2, 3]
    np.testing.assert_array_equal(content["dense_1/kernel"][:3], first[:3])


def test_the_file_can_be_drawn(model, tmp_path):
    file = tmp_path / "weights.npz"
    fit(model, WeightHistograms(file), epochs=3)
    figure = kbnn.techniques.plot_weight_histograms(file, epochs=3)
    assert len(figure.axes) == 9
    assert [axes.get_title() for axes in figure.axes[:3]] == ["before", "epoch 2", "epoch 3"]
    assert {axes.get_ylabel() for axes in figure.axes[::3]} == {f"{name}/kernel" for name in LAYERS}
    content = np.load(file)
    for first, last in zip(figure.axes[::3], figure.axes[2::3], strict=True):
        drawn = last.patches[0].get_data()
        np.testing.assert_array_equal(drawn.values, content[first.get_ylabel()][-1])


def test_a_model_without_smooth_kernels_raises(tmp_path):
    layer = lq.layers.QuantDense(8, kernel_quantizer="ste_sign", kernel_constraint="weight_clip")
    model = keras.Sequential([keras.Input((8,)), layer], name="plain")
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"as kernel quantizer\. Received: model='plain'"):
        fit(model, WeightHistograms(tmp_path / "weights.npz"), epochs=1)


def test_a_missing_folder_and_foreign_files_raise(model, tmp_path):
    with pytest.raises(FileNotFoundError, match="Expected an existing folder for the histograms"):
        fit(model, WeightHistograms(tmp_path / "none" / "weights.npz"))
    foreign = tmp_path / "weights.npz"
    np.savez(foreign, other=np.zeros(3))
    with pytest.raises(ValueError, match="to hold this training's earlier histograms"):
        fit(model, WeightHistograms(foreign), epochs=2, initial_epoch=1)
    with pytest.raises(ValueError, match="Received: a file with other"):
        kbnn.techniques.plot_weight_histograms(foreign)
    with pytest.raises(ValueError, match="Expected `epochs` to be a positive integer"):
        kbnn.techniques.plot_weight_histograms(foreign, epochs=0)
