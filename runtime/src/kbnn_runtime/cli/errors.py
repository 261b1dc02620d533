"""The exit codes, and the error for input that the user can correct."""

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


class InputError(Exception):
    """The user's input cannot be used. Leads to exit code 2."""
