"""Tests run against the installed package, as users have it."""

import pathlib
import sys

FOLDER = pathlib.Path(__file__).parent
# The models of the tests, and the programs beside the package.
RUNTIME = FOLDER.parent.parent
sys.path[:0] = [str(FOLDER), str(RUNTIME), str(RUNTIME / "wheel_tests")]
