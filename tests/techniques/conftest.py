"""Assertions in the checks that trainers share show their values, as in test files."""

import pytest

pytest.register_assert_rewrite("tests.techniques.trainer_checks")
