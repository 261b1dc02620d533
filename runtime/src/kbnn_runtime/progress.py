"""How far a long batch has come."""

import sys
from collections.abc import Callable

_WIDTH = 30


def reporter(progress: bool | Callable[[int, int], None], total: int) -> Callable[[int], None]:
    """What is called with the number of examples done: a bar on standard error, or a function.

    Args:
        progress: False: nothing is shown. True: a bar. Else a function of (done, total).
        total: How many examples there are.

    Raises:
        TypeError: Neither a boolean nor callable.
    """
    if callable(progress):
        given = progress
        return lambda done: given(done, total)
    if not isinstance(progress, bool):
        raise TypeError(
            "Expected progress to be True, False or a function of (done, total). "
            f"Received: progress={progress!r}"
        )
    return (lambda done: _bar(done, total)) if progress else (lambda done: None)


def _bar(done: int, total: int) -> None:
    filled = _WIDTH * done // total
    end = "\n" if done == total else ""
    sys.stderr.write(f"\r[{'=' * filled}{' ' * (_WIDTH - filled)}] {done}/{total}{end}")
    sys.stderr.flush()
