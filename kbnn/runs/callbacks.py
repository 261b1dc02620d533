"""What a training run writes after each epoch."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tf_keras as keras

from kbnn._files import replace_file
from kbnn.runs.errors import RunFailed
from kbnn.runs.folder import RunFolder


class LogEpochs(keras.callbacks.Callback):
    """Writes `log.csv`, each epoch once, also when epochs are run again after an interruption.

    Must stand before `BackupAndRestore`: an epoch whose state is saved then has its row, and a row
    whose epoch's state was not saved is dropped when the epoch is run again.

    Raises:
        RunFailed: in `fit`, when the loss is not finite after a batch, or a metric or a weight at
            the end of an epoch; or when rows of finished epochs are missing.
    """

    def __init__(self, run: RunFolder) -> None:
        super().__init__()
        self._run = run
        self._rows: list[dict[str, float]] | None = None
        self._epoch = 0
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._rows is None:
            self._rows = [row for row in self._run.log() if row["epoch"] <= epoch]
            if [row["epoch"] for row in self._rows] != list(range(1, epoch + 1)):
                raise RunFailed(
                    f"Expected {self._run.log_file} to hold the epochs 1 to {epoch}, whose state "
                    f"is saved. Received: {[int(row['epoch']) for row in self._rows]}"
                )
        self._epoch = epoch
        self._start = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._check_finite({"loss": (logs or {})["loss"]})

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        metrics = {key: float(value) for key, value in (logs or {}).items()}
        # The last step of an epoch can spoil the weights, and no later loss shows it.
        weights = {weight.name: weight.numpy() for weight in self.model.weights}
        self._check_finite({**metrics, **weights})
        row = {
            "epoch": epoch + 1,
            **metrics,
            # Keras gives the learning rate of the last step.
            "learning_rate": float(self.model.optimizer.learning_rate),
            "seconds": round(time.perf_counter() - self._start, 3),
        }
        self._rows = [*(self._rows or []), row]
        self._run.write_log(self._rows)

    def _check_finite(self, values: dict[str, Any]) -> None:
        broken = [name for name, value in values.items() if not np.isfinite(value).all()]
        if broken:
            raise RunFailed(
                "Expected a finite loss and finite weights. Received: NaN or infinity in "
                f"{', '.join(broken)}, in epoch {self._epoch + 1}. Start a new run with a lower "
                "--learning-rate."
            )


class KeepBest(keras.callbacks.Callback):
    """Saves the model of the epoch with the highest validation accuracy, the first of equals.

    Must stand between `LogEpochs` and `BackupAndRestore`: what was best before an interruption
    is read from the log, and the epoch that is run again saves the same model again.

    Args:
        run: the run's folder.
        save: writes the model, as it is now, to a path.
    """

    def __init__(self, run: RunFolder, save: Callable[[Any], None]) -> None:
        super().__init__()
        self._run = run
        self._save = save

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        best = best_epoch(self._run.log())
        if best is not None and best["epoch"] == epoch + 1:
            with replace_file(self._run.best_file) as temporary:
                self._save(temporary)


def best_epoch(log: list[dict[str, float]]) -> dict[str, float] | None:
    """The first row with the highest validation accuracy; None without validation."""
    validated = [row for row in log if "val_accuracy" in row]
    return max(validated, key=lambda row: row["val_accuracy"], default=None)
