"""The worker's side of the JSON-lines protocol. `kbnn.converters.worker` is the client's.

Run as `python worker_process.py COMMANDS_FILE`. The commands file is a Python file that defines
`COMMANDS`, a dict of functions by name. Each line on standard input is a request,
`{"command": "convert", ...}`, whose other keys are the function's arguments. Each is answered with
one line, `{"result": ...}` or `{"error": "..."}`. Large data travel as files.

This file imports only the standard library, so that a worker's memory and threads belong to its
commands.
"""

import sys

if __name__ == "__main__":
    # This file's folder, whose modules must not replace others of the same name.
    del sys.path[0]

import importlib.util
import json
import os
import traceback
from collections.abc import Callable
from typing import Any


def load_commands(file: str) -> dict[str, Callable[..., Any]]:
    """Import a commands file by its path."""
    spec = importlib.util.spec_from_file_location("worker_commands", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"Expected a Python file. Received: {file}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.COMMANDS


def main(commands_file: str) -> None:
    # Native code also prints to standard output, so the answers get their own descriptor.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    commands = load_commands(commands_file)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"result": commands[request.pop("command")](**request)}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
