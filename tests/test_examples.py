"""The programs under examples/ run to their end, and ship a file that equals the model."""

import pathlib
import re
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parent.parent / "examples"

SHORT = {
    "contrastive.py": ["--epochs", "1", "--negatives", "bank"],
    "latent_weights.py": ["--epochs", "1"],
    "noisy_supervision.py": ["--epochs", "1", "--more", "1"],
    "self_binarizing.py": ["--epochs", "1"],
}


@pytest.mark.slow
@pytest.mark.parametrize("program", SHORT)
def test_the_example_ships_a_verified_file(program, tmp_path):
    result = subprocess.run(
        [sys.executable, str(FOLDER / program), *SHORT[program], "--out", "model.tflite"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "model.tflite").stat().st_size > 10_000
    assert re.search(r"passed\W+yes", result.stdout), result.stdout


def test_every_program_is_run():
    # quickstart.py is what `make quickstart` runs.
    assert {file.name for file in FOLDER.glob("*.py")} == {*SHORT, "quickstart.py"}
