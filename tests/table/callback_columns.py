"""The columns of callbacks. Each trains a row's model on the bundled sample."""

import contextlib
import pathlib
import tempfile
from typing import Any

import numpy as np
import tf_keras as keras

import kbnn
from tests.table.fresh_process import assert_equal_replicas, call_in_fresh_process, strategy
from tests.table.rows import CallbackRow
from tests.table.small_network import deterministic_operations


def check_fit(row: CallbackRow) -> None:
    """`fit` with `validation_data` works."""
    history = train_with_callback(row, epochs=2).history.history
    assert {"loss", "val_loss"} <= history.keys()
    assert all(np.isfinite(values).all() for values in history.values()), history


def check_resume(row: CallbackRow) -> None:
    """An interrupted and resumed training gives the same weights as an uninterrupted one."""
    with deterministic_operations(), tempfile.TemporaryDirectory() as folder:
        expected = train_with_callback(row, 3)
        backup = pathlib.Path(folder, "backup")
        with contextlib.suppress(KeyboardInterrupt):
            train_with_callback(row, 3, [keras.callbacks.BackupAndRestore(backup), Interruption()])
        found = train_with_callback(row, 3, [keras.callbacks.BackupAndRestore(backup)])
    for weight, one, other in zip(
        expected.weights, found.get_weights(), expected.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other, err_msg=weight.name)


def check_mirrored(row: CallbackRow) -> None:
    """`fit` on two virtual CPUs works. One process, with one strategy, serves all rows."""
    call_in_fresh_process(train_on_two_replicas, row=row)


def train_on_two_replicas(row: CallbackRow) -> None:
    """Train a row's model on two replicas, whose weights must stay equal."""
    with strategy().scope():
        model = train_with_callback(row, epochs=1)
    assert_equal_replicas(model)


class Interruption(keras.callbacks.Callback):
    """Interrupts training after an epoch has been backed up, as Ctrl-C does."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if epoch == 1:
            raise KeyboardInterrupt


def train_with_callback(
    row: CallbackRow, epochs: int, extra: list[keras.callbacks.Callback] | None = None
) -> keras.Model:
    """Train a row's model with its callbacks and a fixed seed, and return it."""
    keras.utils.set_random_seed(0)
    train, validation, _ = kbnn.data.load("fashion_mnist_sample", batch_size=500)
    model = row.model()
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    # Otherwise its variables are made in the first step, which Keras would then trace twice.
    model.optimizer.build(model.trainable_variables)
    callbacks = [*row.make(train), *(extra or [])]
    model.fit(train, validation_data=validation, epochs=epochs, callbacks=callbacks, verbose=0)
    return model
