import json

import pytest
import typer

import kbnn
from kbnn.runs import Data, Fit, RunConfig
from research import bench_table, benches, ship
from research.bench_table import Row
from research.tests.small_run import make_row


def row(arm: str, seed: int, accuracy: float, settings: str) -> Row:
    return make_row(
        bench="some",
        arm=arm,
        seed=seed,
        epochs=12,
        keras_accuracy=accuracy,
        device_accuracy=accuracy - 0.001,
        class_agreement=0.9995,
        file_bytes=27000,
        settings=settings,
        versions=json.dumps({"tensorflow": "2.21.0"}),
    )


@pytest.fixture
def finished_run(tmp_path):
    """A table of three seeds and a run of seed 0."""
    config = RunConfig(Data("fashion_mnist", augment="both"), fit=Fit(epochs=12))
    settings = bench_table.settings_json(config)
    file = tmp_path / "bench.csv"
    for seed in (1, 0, 2):
        bench_table.append(row("binary", seed, 0.88 + seed / 100, settings), file)
        bench_table.append(row("real", seed, 0.92, settings), file)
    run = benches.run_folder(tmp_path / "runs", "some", "binary", 0)
    run.mkdir(parents=True)
    preprocessing = kbnn.data.normalization_layer()
    model = kbnn.models.vgg_tiny(preprocessing=preprocessing, classifier_activation=None)
    model.save(run / "model.keras")
    kbnn.converters.convert(model, run / "model.tflite")
    return file, tmp_path / "runs"


def test_the_card_says_what_the_table_says(finished_run, tmp_path):
    file, runs = finished_run
    to = tmp_path / "shipped"
    ship.main("some", "binary", real="real", to=to, runs=runs, file=file)
    run = benches.run_folder(runs, "some", "binary", 0)
    assert (to / "model.tflite").read_bytes() == (run / "model.tflite").read_bytes()
    assert (to / "model.keras").is_file()
    sidecar = json.loads((to / "model.json").read_text())
    assert sidecar["preprocessing"] == {"dtype": "uint8", "scale": 1.0, "offset": 0.0}
    assert sidecar["labels"][9] == "Ankle boot"
    card = (to / "README.md").read_text()
    for text in [
        "bench `some`, arm `binary`, seed 0",
        "`image`: 28x28x1, uint8, 0 to 255, rescaled inside",
        "Ankle boot",
        "9,031,680 of 1 bit, 57,728 of 32 bits",
        "| real-valued network (Keras) | | 92.00 +- 0.00 |",
        "| this network in Keras | 88.00 | 89.00 +- 1.00 |",
        "device file | 87.90 | 88.90 +- 1.00 |",
        "give 99.95 % of the images the same class",
        "data set (mirrored and cropped at random)",
        'kbnn.data.load("fashion_mnist", normalize="none")',
        "tensorflow 2.21.0",
    ]:
        assert text in card
    assert all(len(line) < 200 for line in card.splitlines())


@pytest.mark.parametrize("missing", [("other", "binary"), ("some", "other")])
def test_without_rows_nothing_is_shipped(finished_run, tmp_path, missing):
    file, runs = finished_run
    with pytest.raises(typer.BadParameter, match=f"Expected rows of {' '.join(missing)}"):
        ship.main(*missing, real="real", to=tmp_path / "shipped", runs=runs, file=file)
    assert not (tmp_path / "shipped").exists()
