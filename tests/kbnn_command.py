"""Runs the `kbnn` command in forks of one process, because importing kbnn takes seconds.

It reads one JSON request a line from standard input. It answers each with a line: the exit status.
"""

import kbnn.cli.main
import kbnn.converters

# isort: split
import gc
import json
import os
import signal
import sys


def become_command(
    arguments: list[str], folder: str, environment: dict[str, str], stdout: str, stderr: str
) -> None:
    """Make this process one that was started with arguments in a folder."""
    for target, path in enumerate((os.devnull, stdout, stderr)):
        file = os.open(path, os.O_RDONLY if target == 0 else os.O_WRONLY | os.O_TRUNC)
        os.dup2(file, target)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    # A process in the background ignores Ctrl-C, and its children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["kbnn", *arguments]


def main() -> None:
    # Native code prints to standard output too: answers get a descriptor of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            become_command(**json.loads(line))
            kbnn.cli.main.main()
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


if __name__ == "__main__":
    main()
