"""What goes wrong for reasons that the user can do something about, and the exit codes."""

import contextlib
from collections.abc import Iterator

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


class InputError(ValueError):
    """What the user gave cannot be used: exit code 2."""


class RunFailed(RuntimeError):
    """A training run cannot continue: exit code 1."""


@contextlib.contextmanager
def input_errors() -> Iterator[None]:
    """Turn the errors by which kbnn refuses arguments and files into `InputError`.

    To be wrapped around calls that check what the user gave, not around the work itself, whose
    unexpected errors keep their traceback.
    """
    try:
        yield
    except InputError:
        raise
    except (ValueError, TypeError, OSError) as error:
        raise InputError(str(error)) from error
