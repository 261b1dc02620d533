"""A process that has imported the library and nothing from the tests: the tests' side."""

from typing import Any

from tests.child_process import ChildProcess

_PROCESS = ChildProcess("tests.table.fresh_process_main")


def call_in_fresh_process(command: str, **arguments: Any) -> None:
    """Run a command of `fresh_process_main.py`.

    Raises:
        AssertionError: The command failed, or its process ended.
    """
    error = _PROCESS.call(command=command, **arguments)
    if error:
        raise AssertionError(f"In a fresh process:\n{error}")
