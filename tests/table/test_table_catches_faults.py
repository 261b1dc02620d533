"""The table catches faults: each faulty row fails in the columns that it should, and no others."""

import larq as lq
import pytest

from tests.table.columns import COLUMNS
from tests.table.faulty_rows import ROWS

DIFFERENT = "Not equal to tolerance|Arrays are not equal"
UNKNOWN = "[Uu]nknown quantization function|must be `callable` or `None`"
NOT_THE_SAME_TYPE = "type float32 that does not match type b?float16"
NOT_FROZEN = "DoesNotFreeze'> is <class 'larq.quantizers.SteSign'>"

# The columns in which each faulty row fails, with a pattern of the error.
FAILURES = {
    "wrong_at_zero": {
        "forward": DIFFERENT,
        "larq_layer": DIFFERENT,
        "mixed_float16": DIFFERENT,
        "mixed_bfloat16": DIFFERENT,
    },
    "wrong_gradient": {"gradient": DIFFERENT},
    "wrong_for_kernels": {"larq_layer": DIFFERENT},
    "loses_argument": {"config": "initial_sharpness"},
    "hides_state": {"h5_file": DIFFERENT, "weights_file": DIFFERENT, "clone_model": DIFFERENT},
    "unregistered": {
        "keras_file": UNKNOWN,
        "h5_file": UNKNOWN,
        "saved_model": DIFFERENT,
        "clone_model": UNKNOWN,
    },
    "registered_in_package_only": {"h5_file": UNKNOWN},
    "float32_constant": {"mixed_float16": NOT_THE_SAME_TYPE, "mixed_bfloat16": NOT_THE_SAME_TYPE},
    "not_for_xla": {"jit_compile": "AsString"},
    "nondeterministic": {"determinism": DIFFERENT},
    "loss_unless_inference": {"fit": "out of scope"},
    "does_not_freeze": {"freeze": NOT_FROZEN},
    "freezes_to_another": {"freeze": DIFFERENT, "convert": "the frozen model differs"},
    "replicas_apart": {"mirrored": DIFFERENT},
    "two_bits": {"bop": "did not claim any variables"},
    "another_alias": {"alias": "Healthy", "gradient": DIFFERENT},
    "deaf_shift": {
        "gradient": "mismatch",
        "fit": "has not changed",
        "mixed_float16": "has not changed",
        "mixed_bfloat16": "has not changed",
        "jit_compile": "has not changed",
    },
    "shift_that_stays": {"freeze": "Extra items in the left set:\\n *'tests'"},
    "counts_from_its_birth": {"resume": DIFFERENT},
    "crashes_in_validation": dict.fromkeys(["fit", "resume", "mirrored"], "no validation"),
}
# Each takes seconds, so of the rows that should pass, only the healthy one is tested in them.
EXPENSIVE = ["jit_compile", "resume"]

FAILING = [
    pytest.param(
        name,
        column,
        id=f"{name}-{column}",
        marks=[pytest.mark.slow] if column in EXPENSIVE else [],
    )
    for name, columns in FAILURES.items()
    for column in columns
]
PASSING = [
    pytest.param(name, column, id=f"{name}-{column}")
    for name, row in ROWS.items()
    for column in COLUMNS[type(row)]
    if column not in row.lacks
    and column not in FAILURES.get(name, {})
    and (column not in EXPENSIVE or name == "healthy")
]


@pytest.fixture(autouse=True)
def _larq_scope():
    """Close the scope that Larq leaves open when a layer fails inside it."""
    with lq.context.quantized_scope(False):
        yield


@pytest.mark.parametrize(("name", "column"), FAILING)
def test_fails(name, column):
    row = ROWS[name]
    with pytest.raises(Exception, match=FAILURES[name][column]):
        COLUMNS[type(row)][column](row)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "column"), PASSING)
def test_passes(name, column):
    row = ROWS[name]
    COLUMNS[type(row)][column](row)


def test_each_column_has_a_faulty_row():
    checks = {check for columns in COLUMNS.values() for check in columns.values()}
    failed = {COLUMNS[type(ROWS[name])][c] for name, columns in FAILURES.items() for c in columns}
    assert failed == checks
