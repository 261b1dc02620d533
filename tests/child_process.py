"""A process that serves a test session: the tests' side."""

import atexit
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
from collections.abc import Collection
from typing import Any

ROOT = pathlib.Path(__file__).parents[1]
# Replicas can wait for each other forever.
TIMEOUT = 300


class ChildProcess:
    """Runs a module that answers JSON requests. The first request starts it.

    Args:
        module: The module. It reads a request from each line of standard input, and writes a line
            with the answer to standard output.
        arguments: Its arguments on the command line.
        without: Names of variables that its environment does not have.
    """

    def __init__(self, module: str, *arguments: str, without: Collection[str] = ()) -> None:
        self._module = module
        self._arguments = arguments
        self._without = without
        self._process: subprocess.Popen[str] | None = None

    def call(self, **request: Any) -> Any:
        """Send a request and return the answer.

        Raises:
            AssertionError: The process ended or did not answer.
        """
        process = self._running()
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], TIMEOUT)
        line = process.stdout.readline() if ready else ""
        if not line:
            self.close()
            reason = "ended" if ready else f"took more than {TIMEOUT} seconds"
            raise AssertionError(f"The process {self._module} {reason} at {request}")
        return json.loads(line)

    def close(self) -> None:
        """End the process and the processes that it started."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None

    def _running(self) -> "subprocess.Popen[str]":
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module, *self._arguments],
                cwd=ROOT,
                env={
                    name: value for name, value in os.environ.items() if name not in self._without
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            atexit.register(self.close)
        return self._process
