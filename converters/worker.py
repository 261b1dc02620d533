"""Runs commands in another process, which native code may kill without harm to this one.

`worker_process.py` is the process's side; its docstring describes the protocol.
"""

import contextlib
import io
import json
import os
import pathlib
import re
import select
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from typing import IO, Any

_PROCESS = pathlib.Path(__file__).with_name("worker_process.py")

# Lines on the worker's standard error that say nothing about a failure.
_NOTE = re.compile(r"^(WARNING: All log messages before|[IW]\d{4} |\d{4}-\d\d-\d\d \S+ [IW] )")
_NATIVE_ERROR = re.compile(r"\berror:|ERROR|LLVM|Check failed")


class WorkerError(RuntimeError):
    """A command failed in the worker.

    Attributes:
        reason: the Python exception, or how the process died.
        died: whether the process died.
        messages: what the worker wrote to standard error during the command, line by line.
    """

    def __init__(self, command: str, reason: str, *, died: bool, messages: list[str]) -> None:
        super().__init__(f"`{command}` failed: {reason}")
        self.reason = reason
        self.died = died
        self.messages = messages

    @property
    def first_error(self) -> str:
        """The first message of native code that reads like an error, else the first of all."""
        native = [line for line in self.messages if _NATIVE_ERROR.search(line)]
        return next(iter(native or self.messages), "")


class Worker:
    """A process that runs commands, started by the first call and again after a crash.

    Starting it can cost seconds, as its commands import what they need, so one worker serves all
    calls. Threads take turns.

    Args:
        commands: a Python file with a dict `COMMANDS` of functions, by name. Their arguments and
            results must be representable in JSON.
        environment: environment variables to set for the process.
        timeout: seconds that a command may take before its process is killed; None for no limit.
    """

    def __init__(
        self,
        commands: str | os.PathLike[str],
        *,
        environment: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> None:
        self._command = [sys.executable, str(_PROCESS), str(commands)]
        self._environment = dict(environment or {})
        self._timeout = timeout
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[str] = io.StringIO()

    def call(self, command: str, **arguments: Any) -> Any:
        """Run a command.

        Returns:
            What the command returns.

        Raises:
            WorkerError: the command raised an exception, took too long, or killed the process.
        """
        with self._lock:
            process = self._running_process()
            self._errors.seek(0)
            self._errors.truncate()
            line = self._exchange(process, json.dumps({"command": command, **arguments}))
            if not line:
                messages = self._messages()
                raise WorkerError(command, self._reason_of_death(), died=True, messages=messages)
            answer = json.loads(line)
            if "error" in answer:
                raise WorkerError(command, answer["error"], died=False, messages=self._messages())
            return answer["result"]

    def close(self) -> None:
        """End the process. The next call starts another."""
        with self._lock:
            self._stop()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _running_process(self) -> "subprocess.Popen[str]":
        if self._process is not None and self._process.poll() is not None:
            self._stop()
        if self._process is None:
            # Open as long as the process, which `_stop` ends.
            self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                env={**os.environ, **self._environment},
            )
        return self._process

    def _exchange(self, process: "subprocess.Popen[str]", request: str) -> str:
        """Send a line and read the answer, which is empty if the process died or took too long."""
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("Expected the worker to have pipes. Received: none")
        try:
            process.stdin.write(request + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            return ""
        if self._timeout is not None:
            ready, _, _ = select.select([process.stdout], [], [], self._timeout)
            if not ready:
                return ""
        return process.stdout.readline()

    def _reason_of_death(self) -> str:
        """How the process died; ends it if it took too long."""
        if self._process is not None:
            # A process that has closed its output is about to end.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=1 if self._timeout else None)
            if self._timeout is not None and self._process.poll() is None:
                self._stop()
                return f"it took more than {self._timeout:g} seconds"
        code = self._stop()
        return f"signal {-code}" if code < 0 else f"exit status {code}"

    def _stop(self) -> int:
        """End the process if it still runs, close its pipes, and return its exit status."""
        if self._process is None:
            return 0
        self._process.kill()
        # A pipe to a dead process can hold unsent bytes, which closing would try to send.
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()
        code, self._process = self._process.returncode, None
        self._errors.close()
        return code

    def _messages(self) -> list[str]:
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors]
        return [line for line in lines if line and not _NOTE.match(line)]
