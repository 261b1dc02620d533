"""Tests of the installed package."""

import pathlib
import sys

FOLDER = pathlib.Path(__file__).parent
# For the models of the tests, and for the scripts next to the package.
RUNTIME = FOLDER.parent.parent
sys.path[:0] = [str(FOLDER), str(RUNTIME), str(RUNTIME / "wheel_tests")]
