import json

import pytest
import typer

import kbnn
from kbnn.runs import RunConfig
from research import accuracy_table, ship
from research.accuracy_table import Row
from research.experiments.experiment import make_config


def row(experiment: str, seed: int, accuracy: float, config: RunConfig) -> Row:
    return Row(
        *(
            experiment,
            "final",
            seed,
            12,
            0.9,
            accuracy,
            accuracy - 0.001,
            0.9995,
            None,
            None,
            27000,
            60.0,
        ),
        *(json.dumps(config.to_dict()), json.dumps({"tensorflow": "2.21.0"}), "", "", ""),
    )


@pytest.fixture
def finished_run(tmp_path):
    """A table of three seeds and a run of seed 0."""
    config = make_config(dataset="fashion_mnist", epochs=12)
    file = tmp_path / "accuracy.csv"
    for seed in (1, 0, 2):
        accuracy_table.append(row("binary", seed, 0.88 + seed / 100, config), file)
        accuracy_table.append(row("real", seed, 0.92, config), file)
    run = tmp_path / "runs" / "final" / "binary" / "seed_0"
    run.mkdir(parents=True)
    preprocessing = kbnn.data.normalization_layer()
    model = kbnn.models.vgg_tiny(preprocessing=preprocessing, classifier_activation=None)
    model.save(run / "model.keras")
    (run / "model.tflite").write_bytes(b"the file")
    return file, tmp_path / "runs"


def test_the_card_says_what_the_table_says(finished_run, tmp_path):
    file, runs = finished_run
    to = tmp_path / "shipped"
    ship.main("binary", real="real", to=to, runs=runs, file=file)
    assert (to / "model.tflite").read_bytes() == b"the file"
    assert (to / "model.keras").is_file()
    sidecar = json.loads((to / "model.json").read_text())
    assert sidecar["preprocessing"] == {"dtype": "uint8", "scale": 1.0, "offset": 0.0}
    assert sidecar["labels"][9] == "Ankle boot"
    card = (to / "README.md").read_text()
    for text in [
        "experiment `binary`, seed 0",
        "`image`: 28x28x1, uint8, 0 to 255, rescaled inside",
        "Ankle boot",
        "9,031,680 of 1 bit, 57,728 of 32 bits",
        "| real-valued network (Keras) | | 0.9200 +- 0.0000 |",
        "| this network in Keras | 0.8800 | 0.8900 +- 0.0100 |",
        "(LCE's interpreter) | 0.8790 | 0.8890 +- 0.0100 |",
        'kbnn.data.load("fashion_mnist", normalize="none")',
        "tensorflow 2.21.0",
    ]:
        assert text in card
    assert all(len(line) < 200 for line in card.splitlines())


def test_without_final_rows_nothing_is_shipped(finished_run, tmp_path):
    file, runs = finished_run
    with pytest.raises(typer.BadParameter, match="Expected final rows of other"):
        ship.main("other", real="real", to=tmp_path / "shipped", runs=runs, file=file)
    assert not (tmp_path / "shipped").exists()
