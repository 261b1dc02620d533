"""Assertions in the columns show their values, as those in tests do."""

import pytest

pytest.register_assert_rewrite(
    "callback_columns",
    "description",
    "device_columns",
    "file_columns",
    "formula_columns",
    "training_columns",
)
