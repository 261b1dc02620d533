"""The fixtures of the library's tests."""

from tests.conftest import _fresh_state, images, rng  # noqa: F401
