"""The settings of a run: how its parts fit together, and how texts change them."""

import dataclasses
import json
from typing import ClassVar

import pytest

from kbnn.runs import Data, Fit, Network, RunConfig
from kbnn.runs.assignments import assign, every_setting, flags, settings_of
from kbnn.techniques import (
    TECHNIQUES,
    Contrastive,
    LatentWeights,
    MemoryBank,
    Mixture,
    NoisySupervision,
    SelfBinarizing,
    TanhSurrogate,
    Technique,
    Twin,
)

SAMPLE = Data("fashion_mnist_sample")


def test_what_follows_from_other_settings_is_filled_in():
    config = RunConfig(SAMPLE)
    assert (config.network.width, config.fit.learning_rate) == (32, 0.005)
    assert (config.network.input_quantizer, config.network.kernel_quantizer) == ("ste_sign",) * 2
    assert config.network.normalization == "batch"
    assert RunConfig(SAMPLE, fit=Fit(optimizer="sgd")).fit.learning_rate == 0.1
    assert config.split_seed == 0
    assert RunConfig(SAMPLE, fit=Fit(seed=4)).split_seed == 4
    assert RunConfig(SAMPLE.replace(split_seed=2), fit=Fit(seed=4)).split_seed == 2


@pytest.mark.parametrize(
    ("network", "technique", "normalization"),
    [
        (Network(), SelfBinarizing(), "binary"),
        (Network(), SelfBinarizing(inputs=None), "binary"),
        (Network(input_quantizer="none"), SelfBinarizing(inputs=None), "batch"),
        (Network("resnet20"), SelfBinarizing(), "batch"),
        (Network(normalization="batch"), SelfBinarizing(), "batch"),
        (Network(), TanhSurrogate(), "batch"),
        (Network(normalization="binary"), TanhSurrogate(), "binary"),
        (Network(), NoisySupervision(), "batch"),
    ],
)
def test_a_technique_chooses_the_normalization_where_it_fits(network, technique, normalization):
    config = RunConfig(SAMPLE, network, techniques=(technique,))
    assert config.network.normalization == normalization


def test_equal_settings_are_the_same_run():
    techniques = (Contrastive(MemoryBank(count=9)), SelfBinarizing((1, 5)))
    one = RunConfig(SAMPLE, Network(width=32), Fit(learning_rate=0.005), techniques)
    other = RunConfig(SAMPLE, techniques=techniques[::-1])
    assert one == other
    assert one.digest() == other.digest()
    assert RunConfig.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    assert RunConfig(SAMPLE).digest() != one.digest()


def test_weights_do_not_depend_on_where_the_data_are():
    here, there = (RunConfig(Data("folder", place)).digest() for place in ("/here", "/there"))
    assert here == there


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": "fashion_mnist"}, "`data` to be Data"),
        ({"techniques": Contrastive()}, r"a tuple of techniques, as \(SelfBinarizing\(\),\)"),
        ({"techniques": ("contrastive",)}, "a tuple of techniques"),
        ({"techniques": (Contrastive(), Contrastive())}, "each technique at most once"),
        (
            {"techniques": (SelfBinarizing(), NoisySupervision())},
            "one technique with `kernel_quantizer`. Received: `noisy_supervision` and "
            "`self_binarizing`. Leave one of them out, or give `kernels`=none.",
        ),
        (
            {"techniques": (SelfBinarizing(inputs=None), NoisySupervision())},
            "`noisy_supervision` and `self_binarizing`. Leave one of them out.$",
        ),
        (
            {"techniques": (LatentWeights(), LatentWeights())},
            "at most once. Received: `latent_weights`, `latent_weights`$",
        ),
        (
            {"network": Network(kernel_quantizer="ste_sign"), "techniques": (NoisySupervision(),)},
            "`kernel_quantizer` from the network or from a technique",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        RunConfig(**{"data": SAMPLE, **arguments})


def test_a_training_has_room_for_one_second_network():
    @dataclasses.dataclass(frozen=True)
    class Other(Technique):
        has_two_paths: ClassVar[bool] = True

    with pytest.raises(ValueError, match="at most one technique that trains with a second network"):
        RunConfig(SAMPLE, techniques=(LatentWeights(), Other()))
    RunConfig(SAMPLE, techniques=(LatentWeights(), Contrastive(), SelfBinarizing()))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"data": {"dataset": "mnist"}, "epochs": 3}, "Expected the settings data, network, fit"),
        ({"data": {"dataset": "mnist"}, "techniques": {"magic": {}}}, "Received: magic"),
        ({"data": {}}, "Expected `dataset`"),
    ],
)
def test_json_that_is_not_of_a_run_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        RunConfig.from_dict(content)


def test_differences_name_paths():
    one = RunConfig(SAMPLE, fit=Fit(epochs=3), techniques=(LatentWeights(Twin(0.5)),))
    other = RunConfig(SAMPLE, techniques=(LatentWeights(), Contrastive()))
    assert one.differences(other) == {
        "fit.epochs": (3, 20),
        "latent_weights.way.real_weight": (0.5, 1.0),
        "contrastive": ("none", "given"),
    }


def from_texts(texts, *techniques):
    base = {"data": {"dataset": "mnist"}}
    return RunConfig.from_dict(assign(base, techniques, texts))


def test_texts_change_settings_in_any_order():
    texts = {"until": "0.5", "count": "5", "negatives": "memory_bank", "way": "mixture"}
    config = from_texts({**texts, "fit.epochs": "3"}, "contrastive", "latent_weights")
    assert config.fit.epochs == 3
    assert config.techniques == (
        Contrastive(MemoryBank(count=5)),
        LatentWeights(Mixture(0.5)),
    )


def test_a_nested_setting_keeps_its_siblings():
    config = from_texts({"way.real_weight": "0.5"}, "latent_weights")
    assert config.techniques == (LatentWeights(Twin(0.5)),)
    config = from_texts({"kernels": "none", "inputs": "1:5"}, "self_binarizing")
    assert config.techniques == (SelfBinarizing(None, (1, 5)),)
    texts = {"self_binarizing.inputs": "none", "tanh_surrogate.kernels": "none"}
    config = from_texts(texts, "self_binarizing", "tanh_surrogate")
    assert config.techniques == (SelfBinarizing(inputs=None), TanhSurrogate(None))


@pytest.mark.parametrize(
    ("texts", "techniques", "message"),
    [
        ({"weight": "1"}, ("contrastive", "noisy_supervision"), "contrastive.weight or noisy_sup"),
        ({"magic": "1"}, (), "Expected the name of a setting. Received: magic"),
        ({"count": "3"}, ("contrastive",), "negatives.count with --set negatives=embedding_queue"),
        ({"hard_from": "0.5"}, (), "with --method self-binarizing"),
        ({}, ("magic",), "`method` to be one of self-binarizing"),
    ],
)
def test_names_that_are_not_clear_are_refused(texts, techniques, message):
    with pytest.raises(ValueError, match="Expected") as error:
        from_texts(texts, *techniques)
    assert message in " ".join(str(error.value).split())


def test_every_setting_says_what_it_does():
    for found in every_setting():
        assert found.field.help, found.path
        assert not found.field.help.endswith("."), found.path
        assert found.field.placeholder, found.path
        assert found.field.default_text, found.path


def test_options_have_the_settings_of_data_network_and_fit():
    assert len(flags()) == 16
    names = [found.field.name for part in ("data", "network", "fit") for found in settings_of(part)]
    assert len(set(names)) == len(names)
    assert set(names) & set(TECHNIQUES) == set()


def test_the_network_gets_its_activations():
    info = SAMPLE.describe()
    names = {layer.name for layer in Network(width=8, normalization="batch").build(info, {}).layers}
    assert "end_relu" in names
    none = Network(width=8, normalization="batch", end_activation="none").build(info, {})
    assert not any(layer.name.startswith("end_") for layer in none.layers)
    residual = Network("resnet20", width=8, normalization="batch", reactnet=True).build(info, {})
    assert any(layer.name.endswith("_rprelu") for layer in residual.layers)


def test_reactnets_activations_need_a_residual_network():
    with pytest.raises(ValueError, match=r"Expected `reactnet` with a residual.*vgg_tiny"):
        Network(reactnet=True)
