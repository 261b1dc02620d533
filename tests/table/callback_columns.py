"""The columns of callbacks. Each trains a row's model on the bundled sample."""

import numpy as np

from tests.table.callback_training import check_resumption, train_with_callback
from tests.table.determinism import deterministic_operations
from tests.table.fresh_process import call_in_fresh_process
from tests.table.rows import CallbackRow


def check_fit(row: CallbackRow) -> None:
    """`fit` with `validation_data` works."""
    history = train_with_callback(row, epochs=2).history.history
    assert {"loss", "val_loss"} <= history.keys()
    assert all(np.isfinite(values).all() for values in history.values()), history


def check_resume(row: CallbackRow) -> None:
    """An interrupted and resumed training gives the same weights as an uninterrupted one."""
    with deterministic_operations():
        check_resumption(row)


def check_mirrored(row: CallbackRow) -> None:
    """`fit` on two virtual CPUs works. One process, with one strategy, serves all rows."""
    call_in_fresh_process("mirrored_callback", module=row.module, row=row.name)
