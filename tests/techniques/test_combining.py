"""Techniques together: what docs/combining.md says, through training, freezing and conversion."""

import itertools
import pathlib
import re

import numpy as np
import pytest
import tf_keras as keras

import kbnn
from kbnn.runs import Data, Fit, Network, RunConfig, train_run
from kbnn.runs.assignments import assign
from kbnn.techniques import TECHNIQUES

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "combining.md"
NAMES = tuple(TECHNIQUES)


def read_table() -> dict[tuple[str, str], str]:
    """The cells of the page, by the names of two techniques."""
    rows = [line.strip("| \n").split("|") for line in PAGE.read_text().splitlines() if "|" in line]
    columns = [cell.strip().replace("-", "_") for cell in rows[0]]
    table = {}
    for row in rows[2:]:
        first, *cells = (cell.strip() for cell in row)
        for second, cell in zip(columns[-len(cells) :], cells, strict=True):
            if cell:
                table[first.replace("-", "_"), second] = cell
    return table


TABLE = read_table()


def make_config(images, names, settings, teacher=None, **network):
    """The settings of a run with techniques, as the command line gives them."""
    texts = dict(text.split("=") for text in settings)
    document = {
        "data": Data("folder", directory=str(images), batch_size=32).to_dict(),
        "network": {"width": 8, **network},
        "fit": Fit(epochs=1).to_dict(),
    }
    if "distillation" in names:
        document["techniques"] = {"distillation": {"teacher": {"directory": str(teacher)}}}
    return RunConfig.from_dict(assign(document, names, texts))


@pytest.fixture(scope="session")
def teacher(images, tmp_path_factory):
    """The folder of a real-valued run."""
    folder = tmp_path_factory.mktemp("teacher") / "run"
    real = Network(width=8, input_quantizer="none", kernel_quantizer="none")
    data = Data("folder", directory=str(images), batch_size=32)
    train_run(RunConfig(data, real, Fit(epochs=1)), folder, test=False)
    return folder


def train_and_convert(config, folder):
    """Train a run, and check the device file and the frozen model against the result."""
    train_run(config, folder, test=False)
    model = keras.models.load_model(folder / "model.keras", compile=False)
    names = {type(layer).__name__ for layer in model.submodules}
    assert names.isdisjoint({"ContrastiveTerm", "ContrastiveSign", "EmbeddingHead"})
    images = np.load(pathlib.Path(config.data.directory) / "data.npz")["x_test"][..., None]
    report = kbnn.converters.convert(model, folder / "model.tflite", verify_data=images).report
    assert report.parity.class_agreement == 1
    frozen = kbnn.converters.freeze(model)
    np.testing.assert_array_equal(frozen(images), model(images))


def test_the_page_has_each_pair_once():
    pairs = set(itertools.combinations(NAMES, 2))
    assert {frozenset(pair) for pair in TABLE} == {frozenset(pair) for pair in pairs}
    assert len(TABLE) == len(pairs)


@pytest.mark.parametrize("pair", TABLE, ids="-".join)
def test_kbnn_accepts_and_refuses_what_the_page_says(pair, images, teacher):
    cell = TABLE[pair]
    settings = re.findall("`(.+?)`", cell)
    if cell == "yes" or settings:
        assert len(make_config(images, pair, settings, teacher).techniques) == 2
    if cell == "no" or settings:
        with pytest.raises(ValueError, match="Expected"):
            make_config(images, pair, [], teacher)


@pytest.mark.slow
@pytest.mark.parametrize("pair", [pair for pair in TABLE if TABLE[pair] != "no"], ids="-".join)
def test_two_techniques_train_and_convert(pair, images, teacher, tmp_path):
    settings = re.findall("`(.+?)`", TABLE[pair])
    train_and_convert(make_config(images, pair, settings, teacher), tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("second", ["latent_weights", "distillation"])
def test_four_techniques_train_and_convert(second, images, teacher, tmp_path):
    names = ("self_binarizing", "noisy_supervision", second, "contrastive")
    settings = ("self_binarizing.kernels=none",)
    train_and_convert(make_config(images, names, settings, teacher), tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_each_technique_trains_and_converts_a_reactnet(name, images, teacher, tmp_path):
    network = {"architecture": "resnet20", "reactnet": True}
    train_and_convert(make_config(images, (name,), (), teacher, **network), tmp_path / "run")
