import subprocess
import sys

import pytest
from typer.testing import CliRunner

from kbnn import __version__
from kbnn.cli.main import app

runner = CliRunner()


def test_version():
    result = runner.invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"kbnn {__version__}\n")


@pytest.mark.parametrize("command", ["train", "convert", "verify", "inspect"])
def test_help_has_an_example_and_the_exit_codes(command):
    result = runner.invoke(app, [command, "--help"], terminal_width=100)
    assert result.exit_code == 0
    assert f"Example: kbnn {command} " in result.stdout
    assert "130 interrupted" in " ".join(result.stdout.split())


def test_unknown_command_is_refused():
    result = runner.invoke(app, ["trian"])
    assert result.exit_code == 2
    assert "trian" in result.stderr


def test_matplotlib_is_imported_only_where_curves_are_drawn():
    code = "import sys, kbnn.cli.main; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
