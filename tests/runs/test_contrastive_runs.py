"""`kbnn train --method contrastive`: what trains, what is logged, and that the host alone ships."""

import json

import pytest
import tf_keras as keras

from kbnn.runs import InputError, RunConfig
from kbnn.runs.folder import RunFolder
from kbnn.runs.run_model import build_model, trainer_of, with_terms
from kbnn.techniques import MemoryBank
from kbnn.techniques.contrastive.with_contrast import DEFAULT_DECAY

SAMPLE = "fashion_mnist_sample"


@pytest.mark.parametrize(
    ("options", "taps"),
    [
        ([], ["conv_3"]),
        (
            ["--contrast", "bank", "--contrast-taps", "conv_1,conv_3", "--latent", "twin"],
            ["conv_1", "conv_3"],
        ),
        (["--contrast", "queue", "--input-quantizer", "smooth_sign"], ["conv_3"]),
    ],
)
def test_a_run_logs_its_measures_and_the_network_alone_ships(
    run_kbnn, settings, finished, tmp_path, options, taps
):
    folder = RunFolder(tmp_path / "run")
    command = ["--method", "contrastive", *options, "--run", folder.path]
    process = run_kbnn("train", *settings(epochs=2), *command)
    assert process.returncode == 0, process.stderr
    log = folder.log()
    names = {
        f"{tap}/contrast_{measure}"
        for tap in taps
        for measure in ("bound", "distinct_codes", "loss")
    }
    assert {name for name in log[0] if "contrast" in name} == names
    assert all(row[f"{taps[-1]}/contrast_loss"] > 0 for row in log)
    model = keras.models.load_model(folder.model_file)
    without = keras.models.load_model(finished[0] / "model.keras")
    assert [layer.name for layer in model.layers] == [layer.name for layer in without.layers]
    convolutions = [weight for weight in model.weights if "contrast" in weight.name]
    assert convolutions == []
    result = json.loads(folder.result_file.read_text())
    assert result["parameters"] == model.count_params()
    # The test images saw the trained network: at least the validation images' class is learned.
    assert result["test_accuracy"] > 0.4
    converted = run_kbnn("convert", folder.path, "--json")
    assert converted.returncode == 0, converted.stderr
    assert json.loads(converted.stdout)["report"]["parity"]["class_agreement"] == 1.0


def test_a_trained_network_goes_on_with_a_term(run_kbnn, finished, tmp_path):
    command = ["--method", "contrastive", "--contrast", "bank", "--epochs", "1", "--run"]
    process = run_kbnn("train", "--from", finished[0], *command, tmp_path / "run")
    assert process.returncode == 0, process.stderr
    assert "conv_3/contrast_bound" in RunFolder(tmp_path / "run").log()[0]


def test_defaults_are_the_librarys():
    config = RunConfig(data=SAMPLE, contrast="batch")
    found = (config.contrast_weight, config.contrast_temperature, config.contrast_embedding)
    assert found == (0.1, 0.3, 128)
    assert (config.contrast_count, config.contrast_taps, config.contrast_decay) == (
        *(None, "last", None),
    )
    config = RunConfig(data=SAMPLE, contrast="bank", contrast_taps="all")
    assert (config.contrast_weight, config.contrast_count, config.contrast_decay) == (
        *(0.1, 4096, DEFAULT_DECAY),
    )
    assert RunConfig.from_dict(config.to_dict()) == config
    plain = RunConfig(data=SAMPLE)
    assert {value for name, value in plain.to_dict().items() if "contrast_" in name} == {None}


def test_settings_reach_the_term_and_the_bank_has_a_row_for_each_image():
    config = RunConfig(
        data=SAMPLE, width=8, contrast="bank", contrast_taps="all", contrast_weight=2.0,
        contrast_temperature=0.3, contrast_embedding=7, contrast_count=9, contrast_decay=0.25,
    )  # fmt: skip
    host = build_model(config)
    model = with_terms(host, config)
    terms = [model.get_layer(f"conv_{i}").input_quantizer.contrast for i in (1, 2, 3)]
    assert [term.weight for term in terms] == [0.125, 0.5, 2.0]
    term = terms[-1]
    assert (term.temperature, term.embedding) == (0.3, 7)
    assert term.negatives == MemoryBank(rows=5000, count=9)
    assert trainer_of(model, config, 1).with_index
    without = RunConfig(data=SAMPLE, width=8)
    assert with_terms(host, without) is trainer_of(host, without, 1) is host


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contrast": "sideways"}, "--contrast to be one of none, batch, queue, bank"),
        ({"contrast_weight": 1.0}, "--contrast-weight with --contrast"),
        ({"contrast_decay": 0.5}, "--contrast-decay with --contrast"),
        ({"contrast_temperature": 0.1}, "--contrast-temperature with --contrast batch, queue"),
        ({"contrast": "batch", "contrast_count": 9}, "--contrast-count with --contrast queue"),
        ({"contrast": "batch", "contrast_weight": -1.0}, "Expected --contrast-weight to be"),
        ({"contrast": "batch", "contrast_temperature": 0.0}, "Expected --contrast-temperature"),
        ({"contrast": "bank", "contrast_count": 0}, "Expected --contrast-count"),
        ({"contrast": "batch", "contrast_taps": "conv_1,"}, "--contrast-taps to be last, all"),
        ({"contrast": "batch", "contrast_decay": 0.5}, "--contrast-decay with several"),
        ({"contrast": "batch", "input_quantizer": "none"}, "--contrast with an --input-quantizer"),
    ],
)
def test_settings_that_cannot_be_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        RunConfig(data=SAMPLE, **options)


def test_taps_that_the_network_has_not_are_refused():
    config = RunConfig(data=SAMPLE, width=8, contrast="batch", contrast_taps="conv_9")
    with pytest.raises(InputError, match=r"--contrast-taps.*conv_1, conv_2, conv_3"):
        with_terms(build_model(config), config)
    config = RunConfig(data=SAMPLE, contrast="batch", contrast_taps="all", contrast_decay=2.0)
    with pytest.raises(InputError, match="--contrast-decay"):
        with_terms(build_model(config), config)
