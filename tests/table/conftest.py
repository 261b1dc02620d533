"""Assertions in the columns show their values, as assertions in test files do."""

import pytest

pytest.register_assert_rewrite(
    "tests.table.callback_columns",
    "tests.table.description",
    "tests.table.file_columns",
    "tests.table.formula_columns",
    "tests.table.training_columns",
)
