"""The table: every row in every column of its kind."""

import pytest

from tests.table.columns import COLUMNS
from tests.table.table_rows import ROWS

# Each test takes more than ten seconds.
SLOW_COLUMNS = ["resume"]

CASES = [
    pytest.param(
        row,
        check,
        id=f"{row.name}-{column}",
        marks=[pytest.mark.slow] if column in SLOW_COLUMNS else [],
    )
    for row in ROWS.values()
    for column, check in COLUMNS[type(row)].items()
    if column not in row.lacks
]


@pytest.mark.parametrize(("row", "check"), CASES)
def test_row_passes_in_column(row, check):
    check(row)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_what_a_row_lacks_is_a_column_of_its_kind_and_has_a_reason(row):
    assert row.lacks.keys() <= COLUMNS[type(row)].keys()
    assert all(row.lacks.values())
