"""The columns of callbacks: trainings of a row's model on the bundled sample."""

import numpy as np

from tests.table.callback_training import check_resumption, train_with_callback
from tests.table.determinism import deterministic_operations
from tests.table.fresh_process import call_in_fresh_process
from tests.table.rows import CallbackRow


def check_fit(row: CallbackRow) -> None:
    """`fit` with `validation_data` goes through."""
    history = train_with_callback(row, epochs=2).history.history
    assert {"loss", "val_loss"} <= history.keys()
    assert all(np.isfinite(values).all() for values in history.values()), history


def check_resume(row: CallbackRow) -> None:
    """A training that is interrupted and resumed ends where an uninterrupted one does."""
    with deterministic_operations():
        check_resumption(row)


def check_mirrored(row: CallbackRow) -> None:
    """`fit` on two virtual CPUs; in a process with one strategy for all rows."""
    call_in_fresh_process("mirrored_callback", module=row.module, row=row.name)
