"""The processor time of a training, whatever interrupts it."""

import csv
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import tf_keras as keras

from kbnn._files import replace_file


class EpochClock(keras.callbacks.Callback):
    """Measures the processor time of each epoch, and adds them up.

    An epoch includes validation and all callbacks before this one, which must be the last. What
    comes before the first epoch and after the last one is not measured: reading the data, making
    the model, and measuring the statistics of batch normalization anew.

    Args:
        folder: the folder of the run. It gets `cpu_seconds.csv`, with a row for each epoch, and
            `cpu_seconds.txt`, with their sum.
        clock: the processor time of this process until now, in seconds.
    """

    def __init__(
        self, folder: pathlib.Path, clock: Callable[[], float] = time.process_time
    ) -> None:
        super().__init__()
        self._epochs_file = folder / "cpu_seconds.csv"
        self._total_file = folder / "cpu_seconds.txt"
        self._clock = clock
        self._start = 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._start = self._clock()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        now = self._clock()
        # An epoch that is run again after an interruption replaces its time.
        found = {**self._read(), epoch + 1: now - self._start}
        self._start = now
        with replace_file(self._epochs_file) as temporary, temporary.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["epoch", "seconds"])
            writer.writerows([number, f"{found[number]:.3f}"] for number in sorted(found))

    def seconds(self, epochs: int) -> float:
        """Return the time of a training of so many epochs.

        An epoch whose time is missing is taken to be as long as the median of the others.

        Raises:
            ValueError: the run was trained without this clock.
        """
        found = self._read()
        if found:
            missing = (epochs - len(found)) * statistics.median(found.values())
            self._total_file.write_text(f"{sum(found.values()) + missing:.1f}\n")
        if not self._total_file.exists():
            raise ValueError(
                f"Expected {self._epochs_file}, the processor time of each epoch. Received: none. "
                "Remove the folder, and train the run again."
            )
        return float(self._total_file.read_text())

    def _read(self) -> dict[int, float]:
        if not self._epochs_file.exists():
            return {}
        with self._epochs_file.open(newline="") as file:
            return {int(row["epoch"]): float(row["seconds"]) for row in csv.DictReader(file)}
