"""`kbnn train --method contrastive`: what trains and what is logged; only the network ships."""

import json

import pytest
import tf_keras as keras

import kbnn
from kbnn.runs.folder import RunFolder
from kbnn.techniques import Contrastive, LatentWeights, MemoryBank
from kbnn.techniques.technique import trainer_of

SAMPLE = "fashion_mnist_sample"
BANK = ("--set", "negatives=memory_bank")
SMOOTH_INPUTS = (
    *("--method", "self-binarizing", "--set", "kernels=none"),
    *("--set", "normalization=batch"),
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "taps"),
    [
        ([], ["conv_3"]),
        (
            [*BANK, "--set", "layers=conv_1,conv_3", "--method", "latent-weights"],
            ["conv_1", "conv_3"],
        ),
        (["--set", "negatives=embedding_queue", *SMOOTH_INPUTS], ["conv_3"]),
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


@pytest.mark.slow
def test_a_trained_network_goes_on_with_a_term(run_kbnn, finished, tmp_path):
    command = ["--method", "contrastive", *BANK, "--epochs", "1", "--run"]
    process = run_kbnn("train", "--from", finished[0], *command, tmp_path / "run")
    assert process.returncode == 0, process.stderr
    assert "conv_3/contrast_bound" in RunFolder(tmp_path / "run").log()[0]


def test_settings_reach_the_term_and_the_bank_has_a_row_for_each_image():
    technique = Contrastive(
        MemoryBank(count=9),
        2.0,
        temperature=0.3,
        embedding=7,
        train_heads=False,
        layers="all",
        decay=0.25,
    )
    model = kbnn.models.vgg_tiny(width=8)
    prepared = technique.prepare(model, kbnn.data.describe(SAMPLE))
    terms = [prepared.get_layer(f"conv_{i}").input_quantizer.contrast for i in (1, 2, 3)]
    assert [term.weight for term in terms] == [0.125, 0.5, 2.0]
    term = terms[-1]
    assert (term.temperature, term.embedding, term.train_heads) == (0.3, 7, False)
    assert term.negatives == MemoryBank(5000, 9)
    assert trainer_of([technique], prepared, 1).with_index
    assert not trainer_of([Contrastive()], prepared, 1).with_index
    assert trainer_of([LatentWeights(), technique], prepared, 1).with_index
    assert trainer_of([], model, 1) is model


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--set", "negatives=sideways"],
            "to be one of same_batch, embedding_queue, memory_bank",
        ),
        (["--set", "count=9"], "negatives.count with --set negatives=embedding_queue"),
        (["--set", "weight=-1"], "--set weight to be a number of at least 0"),
        (["--set", "temperature=0"], "--set temperature to be a number of at least 0.001"),
        ([*BANK, "--set", "count=0"], "--set count to be a positive integer"),
        (["--set", "decay=2"], "--set decay to be a number above 0 and at most 1"),
        (["--input-quantizer", "none"], "Expected a model with a quantized input"),
        (["--set", "layers=conv_9"], "names of conv_1, conv_2, conv_3"),
    ],
)
def test_settings_that_cannot_be_are_refused(train, tmp_path, options, message):
    command = ("--data", SAMPLE, "--method", "contrastive", *options, "--run", tmp_path / "run")
    result = train(*command)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "run").exists()
