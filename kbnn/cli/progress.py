"""Progress on standard error: a bar if it is a terminal, otherwise a line per epoch or nothing."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tf_keras as keras
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar for a call that reports `progress(done, total)`; nothing without a terminal."""
    with _bar() as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextlib.contextmanager
def epoch_progress(epochs: int) -> Iterator[keras.callbacks.Callback]:
    """A callback for `fit` that shows the batches on a terminal, and a line for each epoch."""
    with _bar() as bar:
        yield _EpochProgress(bar, epochs)


def metrics_line(logs: dict[str, Any]) -> str:
    """`loss 0.4321  accuracy 0.8765`, in the order given."""
    return "  ".join(f"{key} {float(value):.4f}" for key, value in logs.items())


class _EpochProgress(keras.callbacks.Callback):
    def __init__(self, bar: Progress, epochs: int) -> None:
        super().__init__()
        self._bar = bar
        self._epochs = epochs
        self._task = None if bar.disable else bar.add_task("training", total=None)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._task is not None:
            title = f"epoch {epoch + 1}/{self._epochs}"
            self._bar.reset(self._task, total=self.params.get("steps"), description=title)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self._task is not None:
            self._bar.update(self._task, completed=batch + 1)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._bar.console.print(
            f"epoch {epoch + 1}/{self._epochs}  {metrics_line(logs or {})}",
            highlight=False,
            soft_wrap=True,
        )


def _bar() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
