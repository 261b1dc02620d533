"""Tests that compare the delegate's operators, in LiteRT's interpreter, with NumPy.

They use the library of the installed package, or the one in the environment variable KBNN_DELEGATE,
for instance a build with sanitizers.
"""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from delegates import available_kernels


@pytest.fixture(params=available_kernels())
def kernels(request):
    """Each kernel set that this processor can run."""
    return request.param


@pytest.fixture(scope="session")
def every_kernels():
    """All these kernel sets, for tests that search for examples."""
    return available_kernels()
