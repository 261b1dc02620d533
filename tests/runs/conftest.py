"""Shared by the tests of runs and of `kbnn train`."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from kbnn.cli.main import app


@pytest.fixture(scope="session")
def train():
    """A function that runs `kbnn train` in this process; for what ends before the training."""
    return lambda *arguments: CliRunner().invoke(app, ["train", *map(str, arguments)])


@pytest.fixture(scope="session")
def move_first_run(run_kbnn):
    """A function that checks that a run finds another one's network elsewhere, and no other."""

    def move(folder, setting, first, moved):
        folder.result_file.unlink()
        shutil.copytree(first, moved)
        content = json.loads(folder.config_file.read_text())
        place = content["settings"]
        for name in setting:
            place = place[name]
        place["directory"] = str(moved)
        folder.config_file.write_text(json.dumps(content))
        assert run_kbnn("train", "--resume", "--run", folder.path).returncode == 0
        shutil.copyfile(folder.model_file, moved / "model.keras")
        folder.result_file.unlink()
        process = run_kbnn("train", "--resume", "--run", folder.path)
        assert process.returncode == 2
        assert "to hold the network that this run began with" in " ".join(process.stderr.split())

    return move
