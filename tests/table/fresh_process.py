"""A process that has imported the library and nothing from the tests: the client's side."""

import atexit
import json
import pathlib
import select
import subprocess
import sys
from typing import Any

ROOT = pathlib.Path(__file__).parents[2]
# Replicas can wait for each other forever.
TIMEOUT = 300


class FreshProcess:
    """Runs the commands of `fresh_process_main.py`: one process, started at the first, for all."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def call(self, command: str, **arguments: Any) -> None:
        """Run a command in the process.

        Raises:
            AssertionError: The command failed, or the process ended.
        """
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.table.fresh_process_main"],
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
            raise AssertionError(f"In a fresh process:\n{error}")

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


FRESH = FreshProcess()
