"""The progress of a long batch."""

import sys
from collections.abc import Callable

_WIDTH = 30


def make_reporter(progress: bool | Callable[[int, int], None], total: int) -> Callable[[int], None]:
    """Return a function to call with the number of examples that are done.

    Args:
        progress: True shows a bar on standard error, False shows nothing, and a function is called
            with (done, total).
        total: The number of examples.

    Raises:
        TypeError: `progress` is neither a boolean nor callable.
    """
    if callable(progress):
        given = progress
        return lambda done: given(done, total)
    if not isinstance(progress, bool):
        raise TypeError(
            "Expected progress to be True, False or a function of (done, total). "
            f"Received: progress={progress!r}"
        )
    return (lambda done: _draw_bar(done, total)) if progress else (lambda done: None)


def _draw_bar(done: int, total: int) -> None:
    filled = _WIDTH * done // total
    end = "\n" if done == total else ""
    sys.stderr.write(f"\r[{'=' * filled}{' ' * (_WIDTH - filled)}] {done}/{total}{end}")
    sys.stderr.flush()
