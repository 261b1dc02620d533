"""Tests of the delegate's operators in LiteRT's interpreter, against NumPy.

They run the library of the installed package, or the one that the environment variable
KBNN_DELEGATE names: a build with sanitizers, for instance.
"""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from delegates import available_kernels


@pytest.fixture(params=available_kernels())
def kernels(request):
    """Each kernel set that this processor runs."""
    return request.param


@pytest.fixture(scope="session")
def every_kernels():
    """All of them, for tests that search for examples."""
    return available_kernels()
