"""Runs that go on with a network under other quantizers: real-valued weights first, then signs."""

import pathlib
import re
import signal
import sys

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from kbnn.graph.precision import dtype_policy
from kbnn.runs import Data, Network, RunConfig, continue_from
from kbnn.runs.folder import RunFolder
from kbnn.runs.run_model import build_model
from kbnn.techniques import NoisySupervision, SelfBinarizing

SAMPLE = Data("fashion_mnist_sample")
DYING = [sys.executable, pathlib.Path(__file__).with_name("dying_run.py")]
REAL = {"input_quantizer": "none", "kernel_quantizer": "none"}
SIGNS = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
BINARY = ("conv_1", "conv_2", "conv_3")


def flags(quantizers):
    return [
        text
        for name, value in quantizers.items()
        for text in (f"--{name.replace('_', '-')}", value)
    ]


@pytest.fixture
def trained(tmp_path):
    """A function that writes a finished run: a network with weights that no initializer gives."""

    def trained(*techniques, name="first", **network):
        config = RunConfig(SAMPLE, Network(width=8, **network), techniques=techniques)
        folder = RunFolder(tmp_path / name)
        folder.create(config)
        model = build_model(config)
        rng = np.random.default_rng(5)
        for weight in model.trainable_weights:
            weight.assign(rng.normal(0.1, 0.8, weight.shape))
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.moving_mean.assign(rng.normal(0, 2, layer.moving_mean.shape))
                layer.moving_variance.assign(rng.uniform(0.5, 20, layer.moving_mean.shape))
        model.save(folder.model_file)
        return folder.path, model

    return trained


@pytest.mark.slow
def test_stage_two_begins_with_the_real_kernels_and_clips_them(run_kbnn, tmp_path):
    data = ("--data", "fashion_mnist_sample", "--width", "8", "--epochs", "1")
    first, second = (RunFolder(tmp_path / name) for name in ("first", "second"))
    process = run_kbnn("train", *data, "--kernel-quantizer", "none", "--run", first.path)
    assert process.returncode == 0, process.stderr
    go_on = ("--from", first.path, "--kernel-quantizer", "ste_sign", "--epochs", "1")
    process = run_kbnn("train", *go_on, "--run", second.path)
    assert process.returncode == 0, process.stderr
    real, binary = (keras.models.load_model(folder.model_file) for folder in (first, second))
    config = second.config()
    assert (config.network.kernel_quantizer, config.split_seed) == ("ste_sign", 0)
    begun = build_model(config)
    for name in BINARY:
        kernels = [model.get_layer(name).kernel for model in (real, begun, binary)]
        assert real.get_layer(name).kernel_quantizer is None
        assert real.get_layer(name).kernel_constraint is None
        np.testing.assert_array_equal(kernels[0], kernels[1].latent_variable)
        assert isinstance(binary.get_layer(name).kernel_quantizer, lq.quantizers.SteSign)
        assert isinstance(binary.get_layer(name).kernel_constraint, lq.constraints.WeightClip)
        assert np.abs(kernels[2].latent_variable).max() <= 1
        assert np.abs(kernels[2].latent_variable - kernels[1].latent_variable).max() > 1e-3
    # It has learned with real kernels, and goes on from there.
    assert second.log()[0]["accuracy"] > 0.5
    assert run_kbnn("convert", second.path).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("before", [REAL, {"kernel_quantizer": "none"}], ids=["real", "kernels"])
def test_a_killed_second_stage_resumes_exactly(before, run_kbnn, settings, tmp_path):
    first, whole, folder = (RunFolder(tmp_path / name) for name in ("first", "whole", "run"))
    process = run_kbnn("train", *settings(epochs=1), *flags(before), "--run", first.path)
    assert process.returncode == 0, process.stderr
    train = ("train", "--from", first.path, *flags(SIGNS), "--epochs", "2")
    assert run_kbnn(*train, "--run", whole.path).returncode == 0
    killed = run_kbnn("batch", 10, *train, "--run", folder.path, command=DYING)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert run_kbnn("train", "--resume", "--run", folder.path).returncode == 0
    ours, theirs = (keras.models.load_model(one.model_file) for one in (folder, whole))
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert run_kbnn("convert", folder.path).returncode == 0


def test_a_network_that_stays_as_it_is_computes_the_same(trained, rng):
    for number, techniques in enumerate(
        [(), (SelfBinarizing(),), (NoisySupervision(),), (SelfBinarizing(kernels=None),)]
    ):
        folder, model = trained(*techniques, name=f"run_{number}")
        other = build_model(continue_from(folder))
        assert other.get_config() == model.get_config()
        for one, two in zip(model.weights, other.weights, strict=True):
            np.testing.assert_array_equal(one, two)
        images = rng.integers(0, 256, (8, 28, 28, 1)).astype("uint8")
        np.testing.assert_array_equal(model(images), other(images))


def layers_with_weights(model):
    return {layer.name: layer for layer in model.layers if layer.weights}


@pytest.mark.parametrize("architecture", ["vgg_tiny", "resnet20"])
@pytest.mark.parametrize("back", [False, True])
def test_a_real_network_becomes_binary_and_back(architecture, back, trained):
    before, after = (SIGNS, REAL) if back else (REAL, SIGNS)
    folder, model = trained(architecture=architecture, **before)
    other = build_model(continue_from(folder, **after))
    assert layers_with_weights(model).keys() == layers_with_weights(other).keys()
    for name, layer in layers_with_weights(other).items():
        for one, two in zip(model.get_layer(name).weights, layer.weights, strict=True):
            np.testing.assert_array_equal(one, two)
    quantized = [layer for layer in other.layers if isinstance(layer, lq.layers_base.BaseLayer)]
    assert len(quantized) >= 3
    for layer in quantized:
        is_real = (layer.kernel_quantizer is None, layer.input_quantizer is None)
        assert is_real == (back, back)
        assert (layer.kernel_constraint is None) is back
        if hasattr(layer, "pad_values"):
            assert layer.pad_values == (0.0 if back else 1.0)
    relus = [name for name in (f"{layer.name}_relu" for layer in quantized)]
    assert all((name in {each.name for each in other.layers}) is back for name in relus)


@pytest.mark.parametrize("before", ["batch", "binary"])
def test_another_normalization_computes_the_same(before, trained, rng):
    after = {"batch": "binary", "binary": "batch"}[before]
    folder, model = trained(normalization=before)
    other = build_model(continue_from(folder, normalization=after))
    kinds = {type(layer).__name__ for layer in other.layers}
    assert ("BinaryBatchNormalization" in kinds) is (after == "binary")
    images = rng.integers(0, 256, (16, 28, 28, 1)).astype("uint8")
    # Sums of signs. Behind them the one network goes on with signs, the other with real values.
    sums = [
        keras.Model(each.input, each.get_layer("conv_3").output)(images) for each in (model, other)
    ]
    assert np.std(sums[0]) > 1
    np.testing.assert_array_equal(*sums)


@pytest.mark.parametrize(
    ("before", "after", "added"),
    [
        ({"architecture": "resnet20"}, {"reactnet": True}, r"stage_\d_\d[ab]_(shift|rprelu)"),
        ({"architecture": "vgg_tiny"}, {"end_activation": "rprelu"}, "end_rprelu"),
    ],
)
@pytest.mark.parametrize("removed", [False, True])
def test_activations_that_are_added_begin_anew(before, after, added, removed, trained):
    more, fewer = {**REAL, **before, **after}, {**REAL, **before}
    folder, model = trained(**(more if removed else fewer))
    usual = {name: Network.fields()[name].default for name in after}
    config = continue_from(folder, **SIGNS, **(usual if removed else after))
    other = build_model(config)
    new = build_model(RunConfig(SAMPLE, config.network.replace(pretrained=None)))
    found = set()
    for name, layer in layers_with_weights(other).items():
        is_added = name not in layers_with_weights(model)
        found |= {name} if is_added else set()
        source = (new if is_added else model).get_layer(name)
        for one, two in zip(source.weights, layer.weights, strict=True):
            np.testing.assert_array_equal(one, two)
    assert all(re.fullmatch(added, name) for name in found)
    assert bool(found) is not removed


def test_the_clip_of_stage_two_is_a_setting(trained):
    folder, _ = trained(kernel_quantizer="none")
    config = continue_from(folder, kernel_quantizer="approx_sign", kernel_constraint="none")
    assert build_model(config).get_layer("conv_1").kernel_constraint is None


def test_quantizers_that_stay_keep_their_state_and_new_ones_begin_with_theirs(trained):
    smooth = SelfBinarizing((1, 50), (1, 3))
    folder, model = trained(smooth, normalization="batch")
    for name in BINARY:
        layer = model.get_layer(name)
        layer.kernel_quantizer.sharpness.assign(7.0)
        layer.input_quantizer.sharpness.assign(5.0)
    model.save(RunFolder(folder).model_file)
    for given, expected in (
        ({"kernel_quantizer": "ste_sign"}, (None, 5.0)),
        ({"input_quantizer": "ste_sign"}, (7.0, None)),
        ({}, (7.0, 5.0)),
    ):
        layer = build_model(continue_from(folder, **given)).get_layer("conv_2")
        found = [
            float(each.sharpness) if hasattr(each, "sharpness") else None
            for each in (layer.kernel_quantizer, layer.input_quantizer)
        ]
        assert tuple(found) == expected


def test_learned_signs_stay_where_their_quantizer_is_replaced(trained):
    folder, model = trained(NoisySupervision())
    layer = model.get_layer("conv_2")
    predicted = layer.kernel_quantizer.prediction(layer.kernel.latent_variable).numpy()
    assert np.mean((predicted >= 0) != (layer.kernel.latent_variable.numpy() >= 0)) > 0.001
    binary = build_model(continue_from(folder, kernel_quantizer="ste_sign")).get_layer("conv_2")
    real = build_model(continue_from(folder, kernel_quantizer="none")).get_layer("conv_2")
    np.testing.assert_array_equal(binary.kernel.latent_variable, predicted)
    np.testing.assert_array_equal(real.kernel, predicted)
    other = continue_from(folder, techniques=[NoisySupervision(weight=0.5)])
    learned = build_model(other).get_layer("conv_2")
    np.testing.assert_array_equal(learned.kernel.latent_variable, layer.kernel.latent_variable)
    for one, two in zip(
        layer.kernel_quantizer.weights, learned.kernel_quantizer.weights, strict=True
    ):
        np.testing.assert_array_equal(one, two)


def test_another_precision_keeps_every_bit(trained):
    for number, techniques in enumerate([(), (NoisySupervision(),)]):
        folder, _ = trained(*techniques, name=f"run_{number}")
        config = continue_from(folder, kernel_quantizer="approx_sign")
        plain = build_model(config)
        with dtype_policy("mixed_bfloat16"):
            mixed = build_model(config)
        assert mixed.get_layer("conv_2").compute_dtype == "bfloat16"
        assert {weight.dtype for weight in mixed.weights} == {tf.float32}
        for one, two in zip(plain.weights, mixed.weights, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.slow
def test_real_kernels_become_learned_signs(run_kbnn, settings, tmp_path):
    first = tmp_path / "first"
    process = run_kbnn("train", *settings(epochs=1), *flags(REAL), "--run", first)
    assert process.returncode == 0, process.stderr
    method = ("--method", "noisy-supervision", "--input-quantizer", "ste_sign")
    second = RunFolder(tmp_path / "second")
    process = run_kbnn("train", "--from", first, *method, "--epochs", "1", "--run", second.path)
    assert process.returncode == 0, process.stderr
    assert "conv_1/kernel_flips" in second.log()[0]


def test_a_network_that_its_settings_do_not_describe_is_refused(trained):
    folder, model = trained(kernel_quantizer="none")
    x = keras.layers.Dense(10, name="other")(model.get_layer("average_pool").output)
    keras.Model(model.input, x).save(RunFolder(folder).model_file)
    config = continue_from(folder, kernel_quantizer="ste_sign")
    with pytest.raises(ValueError, match="Received: other, logits in one of the two only"):
        build_model(config)
    wide, _ = trained(kernel_quantizer="none", name="wide")
    other = build_model(RunConfig(SAMPLE, Network(width=12, kernel_quantizer="none")))
    other.save(RunFolder(wide).model_file)
    with pytest.raises(ValueError, match=r"Expected layer 'stem'.*8\)\)\]. Received: .*12\)\)\]"):
        build_model(continue_from(wide, kernel_quantizer="ste_sign"))


def test_binary_normalization_needs_a_sign(trained):
    folder, _ = trained(normalization="binary")
    with pytest.raises(ValueError, match='`input_quantizer` with normalization="binary"'):
        build_model(continue_from(folder, **REAL))
    build_model(continue_from(folder, **REAL, normalization="batch"))
