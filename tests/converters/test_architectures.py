"""Every architecture of kbnn.models becomes binary operators, and the report says what packs."""

import pytest

import kbnn
from kbnn import converters, models
from tests.converters import networks


def converted(model, path):
    networks.randomised(model)
    report = converters.convert(model, path, verify_data=networks.images(model, 8)).report
    binary = [layer for layer in report.layers if layer.kind.startswith("Quant")]
    assert binary
    assert all(layer.binary for layer in binary)
    return binary


def small_resnet(**options):
    return models.resnet((1, 2), (16, 16, 3), 10, 32, classifier_activation=None, **options)


@pytest.mark.parametrize(
    "build",
    [
        lambda: models.vgg_tiny(width=32),
        lambda: models.vgg_small(width=32),
        lambda: models.alexnet((64, 64, 3), 10, 24, hidden_units=64),
    ],
    ids=["vgg_tiny", "vgg_small", "alexnet"],
)
def test_chains_are_packed_up_to_the_last_binary_layer(build, tmp_path):
    *inner, last = converted(build(), tmp_path / "model.tflite")
    assert {layer.output for layer in inner} == {"bit-packed"}
    assert last.output == "float32"
    assert "not bit-packed" in last.note


def test_bi_real_shortcuts_keep_every_output_real(tmp_path):
    layers = converted(small_resnet(), tmp_path / "model.tflite")
    assert {layer.output for layer in layers} == {"float32"}
    assert all("combines it with a shortcut" in layer.note for layer in layers)


def test_plain_shortcuts_pack_the_first_of_each_pair(tmp_path):
    layers = converted(
        small_resnet(shortcuts="plain", downsampling="padding"), tmp_path / "model.tflite"
    )
    packed = {layer.layer for layer in layers if layer.output == "bit-packed"}
    assert packed == {"stage_1_1a_conv", "stage_2_1a_conv", "stage_2_2a_conv"}


def test_shifts_before_a_sign_are_folded_where_a_chain_allows_it(tmp_path):
    """With plain shortcuts, no sum comes before the second sign of a pair."""
    layers = converted(small_resnet(shortcuts="plain", reactnet=True), tmp_path / "model.tflite")
    packed = {layer.layer for layer in layers if layer.output == "bit-packed"}
    assert packed == {"stage_1_1a_conv", "stage_2_1a_conv", "stage_2_2a_conv"}


def test_the_imagenet_stem_converts(tmp_path):
    model = models.resnet18((32, 32, 3), 10, 8, classifier_activation=None)
    assert len(converted(model, tmp_path / "model.tflite")) == 16


def test_reactnet_frozen_needs_no_kbnn():
    frozen = converters.freeze(networks.randomised(small_resnet(reactnet=True)))
    modules = {type(layer).__module__.split(".")[0] for layer in kbnn.graph.layers_of(frozen)}
    assert modules == {"tf_keras", "larq"}
