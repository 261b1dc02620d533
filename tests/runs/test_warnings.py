"""A run warns of what keeps its network from learning, before the first epoch."""

import functools

import larq as lq
import numpy as np
import pytest
import tf_keras as keras

import kbnn
from kbnn.converters.lint import lint_for_training
from kbnn.runs import Data, Fit, Network, RunConfig, network, run, train_run
from kbnn.techniques import NoisySupervision, SelfBinarizing

BINARY = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}


@pytest.fixture
def notes(tmp_path, monkeypatch):
    """A function that gives the notes of a run before its first epoch. Nothing is trained."""

    class Began(Exception):
        pass

    def begin(*_):
        raise Began

    def notes_before_training(*techniques, **settings):
        found = []
        config = RunConfig(
            Data("fashion_mnist_sample"), Network(**settings), Fit(epochs=1), techniques=techniques
        )
        with pytest.raises(Began):
            train_run(config, tmp_path / "run", note=found.append)
        return found

    monkeypatch.setattr(run, "_fit", begin)
    return notes_before_training


def ruined(layer, *arguments, input_shape, classes, preprocessing, **options):
    x = image = keras.Input(input_shape, dtype="uint8")
    for name in ("conv_1", "conv_2"):
        x = keras.layers.ReLU(name=f"relu_{name}")(preprocessing(x) if x is image else x)
        x = layer(*arguments, name=name, **BINARY)(x)
        x = keras.layers.BatchNormalization()(x)
    return keras.Model(image, keras.layers.Dense(classes)(keras.layers.Flatten()(x)))


def test_a_run_warns_of_each_layer_that_cannot_learn(notes, monkeypatch):
    build = functools.partial(ruined, lq.layers.QuantConv2D, 8, 3)
    monkeypatch.setitem(network.ARCHITECTURES, "vgg_tiny", build)
    monkeypatch.setattr(Network, "has_no_branches", False)
    assert [note.split(", which")[0] for note in notes(width=8)] == [
        "Warning: 'conv_1' (QuantConv2D): its input quantizer takes the output of 'relu_conv_1' "
        "(ReLU)",
        "Warning: 'conv_2' (QuantConv2D): its input quantizer takes the output of 'relu_conv_2' "
        "(ReLU)",
    ]


@pytest.mark.parametrize(
    ("techniques", "settings"),
    [
        ((), {}),
        ((), {"architecture": "resnet20_plain", "width": 8}),
        ((), {"input_quantizer": "none"}),
        ((SelfBinarizing(),), {}),
        ((NoisySupervision(),), {"architecture": "vgg_small", "width": 16}),
    ],
    ids=["chain", "residual", "ReLUs", "self-binarizing", "noisy supervision"],
)
def test_a_run_of_a_network_of_kbnn_has_no_warning(notes, techniques, settings):
    assert notes(*techniques, **settings) == []


def test_looking_for_warnings_draws_no_random_numbers():
    def first_weights(look):
        keras.utils.set_random_seed(0)
        model = kbnn.models.vgg_tiny((8, 8, 1), width=8)
        if look:
            lint_for_training(model)
        return keras.initializers.GlorotUniform()((3, 2))

    np.testing.assert_array_equal(first_weights(False), first_weights(True))
