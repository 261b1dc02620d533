"""What the commands print: results on standard output, everything else on standard error."""

import contextlib
import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import tensorflow as tf
import typer
from rich.console import Console

from kbnn import converters
from kbnn.runs.errors import BAD_INPUT, FAILED, INTERRUPTED, InputError, RunFailed

Command = TypeVar("Command", bound=Callable[..., None])

EXIT_CODES = (
    "Exit codes: 0 done; 1 failure (conversion refused, verification failed, training diverged, "
    "out of memory); 2 wrong usage or input; 130 interrupted."
)

_OUT_OF_MEMORY = (
    "Out of memory. Use a smaller network, smaller images or a smaller batch, or close other "
    "programs."
)


def note(message: str) -> None:
    """Print a message for the user on standard error."""
    Console(stderr=True).print(message, markup=False, highlight=False, soft_wrap=True)


def show(result: Any, document: Any, *, as_json: bool) -> None:
    """Print a result on standard output: for people, or `document` as JSON."""
    if as_json:
        print(json.dumps(document, indent=2))
    else:
        # In a file or a pipe, 80 columns would cut tables off for no reason.
        given = sys.stdout.isatty() or "COLUMNS" in os.environ
        Console(width=None if given else 120).print(result)


@contextlib.contextmanager
def only_results_on_stdout() -> Iterator[None]:
    """While it is active, send what libraries print on standard output to standard error."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def exit_codes(command: Command) -> Command:
    """Make a command print user errors as one message, and exit with the documented code."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except InputError as error:
            _leave(BAD_INPUT, f"Error: {error}", error)
        except (RunFailed, converters.ConversionError) as error:
            _leave(FAILED, f"Error: {error}", error)
        except (MemoryError, tf.errors.ResourceExhaustedError) as error:
            _leave(FAILED, f"Error: {_OUT_OF_MEMORY}", error)
        except KeyboardInterrupt as error:
            _leave(INTERRUPTED, str(error) or "Interrupted.", error)

    return run  # type: ignore[return-value]


def _leave(code: int, message: str, error: BaseException) -> None:
    note(message)
    raise typer.Exit(code) from error
