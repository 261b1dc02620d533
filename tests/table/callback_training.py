"""Train the model of a callback's row on the bundled sample."""

import contextlib
import pathlib
import tempfile
from typing import Any

import numpy as np
import tf_keras as keras

import kbnn
from tests.table.rows import CallbackRow


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


def check_resumption(row: CallbackRow) -> None:
    """Raise AssertionError unless a resumed training gives the weights of an uninterrupted one."""
    expected = train_with_callback(row, 3)
    with tempfile.TemporaryDirectory() as folder:
        backup = pathlib.Path(folder, "backup")
        with contextlib.suppress(KeyboardInterrupt):
            train_with_callback(row, 3, [keras.callbacks.BackupAndRestore(backup), Interruption()])
        found = train_with_callback(row, 3, [keras.callbacks.BackupAndRestore(backup)])
    for weight, one, other in zip(
        expected.weights, found.get_weights(), expected.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other, err_msg=weight.name)
