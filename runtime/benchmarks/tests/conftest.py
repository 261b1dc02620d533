"""The fixtures of the library's tests."""

from tests.conftest import _fresh_state  # noqa: F401
