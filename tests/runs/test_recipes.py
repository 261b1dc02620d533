"""Recipes: what a file says is what is trained, in one training or several."""

import json

import pytest
from typer.testing import CliRunner

from kbnn.cli.main import app
from kbnn.runs import InputError, recipe, train_run
from kbnn.runs.folder import RunFolder
from kbnn.runs.recipe import begin_recipe, load_recipe, recipe_names, train_recipe

TWO_STAGES = """
version = 3
summary = "A teacher, and a network that it teaches."

[stages.teacher.network]
width = 8
input_quantizer = "none"
kernel_quantizer = "none"

[stages.teacher.fit]
epochs = 1

[stages.result]
teacher = "teacher"

[stages.result.network]
width = 8

[stages.result.fit]
epochs = 1

[stages.result.techniques.distillation]
label_weight = 0.5
"""


@pytest.fixture
def two_stages(tmp_path, monkeypatch):
    (tmp_path / "recipes").mkdir()
    file = tmp_path / "recipes" / "two.toml"
    file.write_text(TWO_STAGES)
    monkeypatch.setattr(recipe, "FOLDER", tmp_path / "recipes")
    return file


def texts(images, **others):
    return {"data.dataset": "folder", "data.directory": str(images), **others}


def test_every_recipe_is_a_valid_run(tmp_path):
    assert {"accurate", "packed", "distilled"} <= set(recipe_names())
    for name in recipe_names():
        found, folder = load_recipe(name), RunFolder(tmp_path / name)
        begin_recipe(folder, name, (), {"data.dataset": "cifar10"})
        assert folder.recipe()["version"] == found.version >= 1
        assert found.summary.endswith(".")


def test_the_command_lists_them_and_shows_one():
    listed = CliRunner().invoke(app, ["recipes", "--json"])
    assert [each["name"] for each in json.loads(listed.stdout)] == recipe_names()
    shown = json.loads(CliRunner().invoke(app, ["recipes", "distilled", "--json"]).stdout)
    assert [stage["name"] for stage in shown["stages"]][-1] == "result"
    table = CliRunner().invoke(app, ["recipes", "distilled"])
    assert "starts from the network of signs_of_inputs" in table.stdout


def test_data_seed_and_precision_are_for_all_trainings_and_the_rest_for_the_last(
    two_stages, tmp_path
):
    given = {"data.dataset": "cifar10", "seed": "5", "epochs": "7", "label_weight": "0.25"}
    found, folder = load_recipe("two"), RunFolder(tmp_path / "run")
    teacher, result = (
        found.config(stage, folder, ["noisy_supervision"], given, is_check=True)
        for stage in found.stages
    )
    assert [config.fit.seed for config in (teacher, result)] == [5, 5]
    assert [config.split_seed for config in (teacher, result)] == [5, 5]
    assert [config.fit.epochs for config in (teacher, result)] == [1, 7]
    assert [len(config.techniques) for config in (teacher, result)] == [0, 2]
    assert result.techniques[0].label_weight == 0.25
    assert result.techniques[0].teacher.directory == str(tmp_path / "run" / "stages" / "teacher")


def test_an_interrupted_recipe_goes_on_where_it_was(two_stages, images, tmp_path):
    folder, trained = RunFolder(tmp_path / "run"), []

    def train(config, path, **options):
        if path == folder.path and not trained[1:]:
            trained.append("interrupted")
            raise KeyboardInterrupt
        trained.append((path.name, options["resume"], options["test"]))
        return train_run(config, path, **options)

    begin_recipe(folder, "two", (), texts(images, seed="2"))
    with pytest.raises(KeyboardInterrupt):
        train_recipe(folder, train)
    result = train_recipe(folder, train)
    assert trained == [
        ("teacher", False, False),
        "interrupted",
        ("teacher", True, False),
        ("run", False, True),
    ]
    assert result == folder.result()
    assert "test_accuracy" in result
    assert "test_accuracy" not in folder.stage("teacher").result()
    assert folder.config().techniques[0].label_weight == 0.5
    assert folder.config().fit.seed == folder.stage("teacher").config().fit.seed == 2


@pytest.mark.slow
def test_the_command_trains_a_recipe_and_resumes_it(run_kbnn, images, tmp_path):
    data = ("--data", "folder", "--data-dir", images, "--width", "8", "--epochs", "1")
    run = tmp_path / "run"
    process = run_kbnn("train", "--recipe", "packed", *data, "--run", run, "--json")
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout)["epochs"] == 1
    again = run_kbnn("train", "--resume", "--run", run)
    assert again.returncode == 0
    assert "is finished" in again.stderr
    other = run_kbnn("train", "--recipe", "packed", *data, "--run", run)
    assert other.returncode == 2
    assert "Continue it with --resume" in " ".join(other.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--recipe", "none-such"), "Expected --recipe to be one of accurate"),
        (("--recipe", "packed", "--from", "x"), "Expected --recipe or --from. Received: both"),
        (("--recipe", "packed", "--epochs", "0"), "Expected --epochs to be a positive integer"),
        (("--recipe", "distilled", "--set", "label_weight=-1"), "label_weight"),
        (("--recipe", "packed", "--set", "no_such=1"), "Expected the name of a setting"),
    ],
)
def test_wrong_options_are_refused_before_any_work(train, tmp_path, arguments, expected):
    run = tmp_path / "run"
    result = train("--data", "fashion_mnist_sample", "--run", run, *arguments)
    assert result.exit_code == 2
    assert expected in " ".join(result.stderr.split())
    assert not run.exists()


def test_a_plain_run_does_not_begin_where_a_recipe_has(two_stages, train, images, tmp_path):
    run = tmp_path / "run"
    begin_recipe(RunFolder(run), "two", (), texts(images))
    before = sorted(run.iterdir())
    result = train("--data", "fashion_mnist_sample", "--run", run)
    assert result.exit_code == 2
    assert "Continue it with --resume" in " ".join(result.stderr.split())
    assert sorted(run.iterdir()) == before


def test_a_recipe_keeps_its_settings(two_stages, train, images, tmp_path):
    run = tmp_path / "run"
    begin_recipe(RunFolder(run), "two", (), texts(images))
    result = train("--resume", "--run", run, "--epochs", "9")
    assert result.exit_code == 2
    assert "Expected no other options with --resume" in " ".join(result.stderr.split())
    two_stages.write_text(TWO_STAGES.replace("version = 3", "version = 4"))
    with pytest.raises(InputError, match=r"Expected version 3 of the recipe two.*version 4"):
        train_recipe(RunFolder(run))
