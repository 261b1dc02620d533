"""The experiments: results/ has all of them, and a baseline differs only in what is in question."""

import csv
import dataclasses
import gzip
import json

import pytest
import typer

from kbnn.techniques import Distillation
from research import accuracy_table, provenance, training_logs
from research.experiments import EXPERIMENTS, RETIRED, Experiment
from research.experiments.run_config import run_config, settings_without_paths

RESULTS = provenance.ROOT / "results"
NETWORK = ("dataset", "architecture", "width", "validation")


def has_same(one: Experiment, other: Experiment, settings: tuple[str, ...]) -> bool:
    configs = (one.config, other.config)
    ours, theirs = ({**vars(c.data), **vars(c.network), **vars(c.fit)} for c in configs)
    return all(ours[name] == theirs[name] for name in settings)


def test_every_experiment_has_a_row_and_every_row_an_experiment():
    rows = {row.experiment for row in accuracy_table.read()}
    assert rows == set(EXPERIMENTS) | set(RETIRED)
    assert not set(EXPERIMENTS) & set(RETIRED)


def test_every_log_belongs_to_a_row_and_has_all_its_epochs():
    epochs = {row.key: row.epochs for row in accuracy_table.read()}
    logs = training_logs.read()
    assert {key: len(log) for key, log in logs.items()} == {key: epochs[key] for key in logs}


def test_the_table_of_logs_is_the_one_that_the_command_writes(tmp_path):
    training_logs.write(training_logs.read(), tmp_path / "logs.csv.gz")
    written = gzip.decompress((tmp_path / "logs.csv.gz").read_bytes())
    assert written == gzip.decompress(training_logs.FILE.read_bytes())


@pytest.mark.parametrize(
    "table",
    ["learned_signs", "mutual_information", "noise_rates", "recalibration", "separation"],
)
def test_every_run_in_an_analysis_is_a_row(table):
    keys = {row.key for row in accuracy_table.read()}
    with (RESULTS / f"{table}.csv").open(newline="") as lines:
        runs = [row["run"].split("/") for row in csv.DictReader(lines)]
    assert {(name, mode, int(seed.removeprefix("seed_"))) for mode, name, seed in runs} <= keys


def test_every_baseline_has_the_same_data_and_budget():
    for name, experiment in EXPERIMENTS.items():
        for baseline in map(EXPERIMENTS.__getitem__, experiment.baselines):
            assert has_same(experiment, baseline, (*NETWORK, "epochs", "batch_size")), name
        if experiment.baselines and name != "fashion-ste_sign-binary_norm":
            first = EXPERIMENTS[experiment.baselines[0]]
            assert has_same(experiment, first, ("normalization",)), name


def test_equal_time_is_twice_the_epochs_and_nothing_else():
    for experiment in EXPERIMENTS.values():
        if experiment.equal_time is not None:
            plain = EXPERIMENTS[experiment.baselines[0]].config
            longer = EXPERIMENTS[experiment.equal_time].config
            twice = plain.fit.replace(epochs=2 * plain.fit.epochs)
            assert longer == dataclasses.replace(plain, fit=twice)
    with_longer = [name for name, each in EXPERIMENTS.items() if each.equal_time is not None]
    assert len(with_longer) == 29
    assert all(name.startswith(("fashion-latent-", "fashion-teacher-")) for name in with_longer)


def test_a_fine_tuning_starts_from_a_network_of_the_same_data(tmp_path):
    for name, experiment in EXPERIMENTS.items():
        assert (experiment.fine_tunes is not None) == name.startswith("fashion-tuned"), name
        if experiment.fine_tunes is not None:
            first = EXPERIMENTS[experiment.fine_tunes]
            assert has_same(experiment, first, (*NETWORK, "input_quantizer")), name
    experiment = EXPERIMENTS["fashion-tuned-lns"]
    with pytest.raises(typer.BadParameter, match=r"seed_1\. Received: none.*--seeds 3"):
        run_config(experiment, "final", 4, tmp_path)
    model = tmp_path / "final" / "fashion-pretrained" / "seed_1" / "model.keras"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"a network")
    config = run_config(experiment, "final", 4, tmp_path)
    found = (config.fit.seed, config.split_seed, config.network.pretrained.directory)
    assert found == (4, 1, str(model.parent))
    # The same network is the same experiment wherever it is; another network is not.
    assert str(tmp_path) not in json.dumps(settings_without_paths(config))
    model.write_bytes(b"another network")
    other = run_config(experiment, "final", 4, tmp_path)
    assert settings_without_paths(other) != settings_without_paths(config)


def test_a_teacher_has_the_same_data_and_seed(tmp_path):
    taught = {name: each for name, each in EXPERIMENTS.items() if each.teacher is not None}
    assert len(taught) == 7
    folder = tmp_path / "final" / "fashion-float" / "seed_1"
    folder.mkdir(parents=True)
    (folder / "model.keras").write_bytes(b"a network")
    for experiment in taught.values():
        assert has_same(experiment, EXPERIMENTS[experiment.teacher], (*NETWORK, "preprocessing"))
        assert experiment.config == EXPERIMENTS["fashion-ste_sign"].config
        config = run_config(experiment, "screening", 1, tmp_path)
        (technique,) = config.techniques
        found = (config.fit.seed, config.split_seed, technique.teacher.directory)
        assert found == (1, 1, str(folder))
        assert technique == Distillation(folder, **experiment.teacher_terms)
        assert str(tmp_path) not in json.dumps(settings_without_paths(config))
    with pytest.raises(typer.BadParameter, match=r"seed_2\. Received: none.*--seeds 3"):
        run_config(experiment, "final", 2, tmp_path)


def test_screening_takes_a_third_of_the_epochs(tmp_path):
    experiment = EXPERIMENTS["fashion-ste_sign"]
    epochs = [run_config(experiment, m, 0, tmp_path).fit.epochs for m in ("screening", "final")]
    assert epochs == [4, 12]
