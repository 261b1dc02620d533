"""The table: every row in every column of its kind."""

import pytest

from tests.table.columns import COLUMNS
from tests.table.fresh_process import call_in_fresh_process
from tests.table.rows import CallbackRow, Row
from tests.table.table_rows import ROWS
from tests.table.training_columns import check_jit_compile_as_usual, check_repetition

# Each test takes more than ten seconds.
SLOW_COLUMNS = ["resume"]


def is_slow(row: Row | CallbackRow, column: str) -> bool:
    """Whether a test is slow: two replicas of a callback repeat its column `fit`."""
    return column in SLOW_COLUMNS or (isinstance(row, CallbackRow) and column == "mirrored")


CASES = [
    pytest.param(
        row,
        check,
        id=f"{row.name}-{column}",
        marks=[pytest.mark.slow] if is_slow(row, column) else [],
    )
    for row in ROWS.values()
    for column, check in COLUMNS[type(row)].items()
    if column not in row.lacks
]


@pytest.mark.parametrize(("row", "check"), CASES)
def test_row_passes_in_column(row, check):
    check(row)


def test_xla_at_its_usual_optimization_level():
    """The tests set XLA_FLAGS, so that XLA compiles quickly. Users do not."""
    call_in_fresh_process(check_jit_compile_as_usual, row=ROWS["learned_sign"])


def test_determinism_of_a_process_from_its_start():
    call_in_fresh_process(check_repetition, is_deterministic=True, row=ROWS["learned_sign"])


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_what_a_row_lacks_is_a_column_of_its_kind_and_has_a_reason(row):
    assert row.lacks.keys() <= COLUMNS[type(row)].keys()
    assert all(row.lacks.values())
