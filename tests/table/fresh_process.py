"""A process that knows the library and nothing of what the tests made: the client's side."""

import atexit
import json
import pathlib
import select
import subprocess
import sys
from typing import Any

ROOT = pathlib.Path(__file__).parents[2]
# Replicas can wait for each other without end.
TIMEOUT = 300


class FreshProcess:
    """Runs commands of `fresh_process_main.py`; started at the first one, it serves all.

    Args:
        options: of the script's command line.
    """

    def __init__(self, *options: str) -> None:
        self._command = [sys.executable, "-m", "tests.table.fresh_process_main", *options]
        self._process: subprocess.Popen[str] | None = None

    def call(self, command: str, **arguments: Any) -> None:
        """Run a command.

        Raises:
            AssertionError: it failed, or the process ended; with what it said.
        """
        if self._process is None:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            atexit.register(self.close)
        self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
        self._process.stdin.flush()
        answers = self._process.stdout
        ready, _, _ = select.select([answers], [], [], TIMEOUT)
        line = answers.readline() if ready else ""
        if not line:
            reason = "ended its process" if ready else f"took more than {TIMEOUT} seconds"
            self.close()
            raise AssertionError(f"{command} {reason}")
        error = json.loads(line)
        if error:
            raise AssertionError(f"in a process of its own:\n{error}")

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


FRESH = FreshProcess()
DETERMINISTIC = FreshProcess("--deterministic")
