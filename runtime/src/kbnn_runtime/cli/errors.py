"""What goes wrong for reasons that the user can do something about, and the exit codes."""

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


class InputError(Exception):
    """What the user gave cannot be used: exit code 2."""
