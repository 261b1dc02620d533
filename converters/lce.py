"""Larq Compute Engine's converter and interpreter, each call in a process that may die."""

import atexit
import contextlib
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

# Lines of the worker's standard error that say nothing about a failure.
_NOTE = re.compile(r"^(WARNING: All log messages before|[IW]\d{4} |\d{4}-\d\d-\d\d \S+ [IW] )")


class ConversionError(RuntimeError):
    """The model cannot be converted, or its file does not do what the model does."""


class Worker:
    """A worker process, started at the first call and again after a crash.

    Start-up costs seconds (it imports TensorFlow), so one worker serves all calls.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[str] = io.StringIO()

    def call(self, command: str, **arguments: Any) -> Any:
        """Have the worker run a command.

        Raises:
            ConversionError: the command failed or killed the worker; with its own first error.
        """
        with self._lock:
            process = self._running()
            self._errors.seek(0)
            self._errors.truncate()
            line = _exchange(process, json.dumps({"command": command, **arguments}))
            if not line:
                process.wait()
                first_error = self._first_error()
                raise ConversionError(
                    f"Larq Compute Engine killed its process in `{command}` "
                    f"({_exit_reason(self._stop())}).{first_error}"
                )
            answer = json.loads(line)
            if "error" in answer:
                raise ConversionError(
                    f"Larq Compute Engine failed in `{command}`: "
                    f"{answer['error']}{self._first_error()}"
                )
            return answer["result"]

    def close(self) -> None:
        """End the process; the next call starts another."""
        with self._lock:
            self._stop()

    def _running(self) -> "subprocess.Popen[str]":
        if self._process is not None and self._process.poll() is not None:
            self._stop()
        if self._process is None:
            # Open as long as the process, which `_stop` ends.
            self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
            self._process = subprocess.Popen(
                [sys.executable, "-m", "kbnn.converters.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "PYTHONWARNINGS": "ignore"},
            )
        return self._process

    def _stop(self) -> int:
        """End the process, if it has not ended itself, and close its pipes; its exit status."""
        if self._process is None:
            return 0
        self._process.kill()
        # A pipe to a dead process can hold unsent bytes, which closing would try to send.
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()
        code, self._process = self._process.returncode, None
        self._errors.close()
        return code

    def _first_error(self) -> str:
        self._errors.seek(0)
        lines = [line.rstrip() for line in self._errors if not _NOTE.match(line)]
        native = [line for line in lines if re.search(r"\berror:|ERROR|LLVM|Check failed", line)]
        first = (native or [line for line in lines if line.strip()])[:1]
        return f" Its first message: {first[0].strip()}" if first else ""


WORKER = Worker()
atexit.register(WORKER.close)


def to_flatbuffer(frozen: keras.Model) -> bytes:
    """Convert a frozen model to an LCE `.tflite` file's content.

    Inputs and outputs keep the Keras names in the file's signature `serving_default`.

    Raises:
        ConversionError: LCE's converter refused the model or died.
    """
    with tempfile.TemporaryDirectory() as folder:
        saved_model = os.path.join(folder, "saved_model")
        output = pathlib.Path(folder, "model.tflite")
        _save(frozen, saved_model)
        WORKER.call("convert", saved_model=saved_model, output=str(output))
        return output.read_bytes()


def predict(
    path: str | os.PathLike, batches: Iterator[list[np.ndarray]], *, reference: bool = False
) -> Iterator[list[np.ndarray]]:
    """Run a checked file with LCE's interpreter, batch by batch.

    Args:
        path: an LCE file that `check_file` has accepted.
        batches: for each batch the list of the model's inputs.
        reference: use LCE's slow reference kernel for binary convolutions.

    Yields:
        For each batch the list of the model's outputs.
    """
    path = str(pathlib.Path(path).resolve())
    with tempfile.TemporaryDirectory() as folder:
        for batch in batches:
            inputs = _handed_over(batch, folder)
            outputs = os.path.join(folder, "output")
            count = WORKER.call(
                "predict", model=path, inputs=inputs, outputs=outputs, reference=reference
            )
            yield [np.load(f"{outputs}_{i}.npy", allow_pickle=False) for i in range(count)]


def seconds(path: str | os.PathLike, image: list[np.ndarray], count: int) -> list[float]:
    """How long LCE's interpreter takes for a checked file, run by run.

    Args:
        path: an LCE file that `check_file` has accepted.
        image: the model's inputs, a batch of one image.
        count: of runs.
    """
    path = str(pathlib.Path(path).resolve())
    with tempfile.TemporaryDirectory() as folder:
        inputs = _handed_over(image, folder)
        return WORKER.call("seconds", model=path, inputs=inputs, count=count)


def _handed_over(batch: list[np.ndarray], folder: str) -> list[str]:
    """Files of a batch's arrays, for the worker."""
    files = [os.path.join(folder, f"input_{i}.npy") for i in range(len(batch))]
    for file, array in zip(files, batch, strict=True):
        np.save(file, array, allow_pickle=False)
    return files


def check_file(content: bytes, name: str) -> None:
    """Have LiteRT verify a flatbuffer: LCE's interpreter crashes on a broken one.

    Raises:
        ValueError: the content is no valid `.tflite` file.
    """
    from ai_edge_litert.interpreter import Interpreter

    try:
        Interpreter(model_content=content)
    except ValueError as error:
        raise ValueError(
            f"Expected `{name}` to be a valid .tflite file. "
            f"Received: {len(content)} bytes that LiteRT refuses ({error})"
        ) from error


def _save(model: keras.Model, folder: str) -> None:
    specs = [
        tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype, name=name)
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
    ]

    @tf.function(input_signature=specs)
    def serve(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = tf.nest.flatten(model(tf.nest.pack_sequence_as(model.input, list(inputs))))
        return dict(zip(model.output_names, outputs, strict=True))

    module = tf.Module()
    module.model = model
    tf.saved_model.save(module, folder, signatures={"serving_default": serve})


def _exchange(process: "subprocess.Popen[str]", request: str) -> str:
    """Send a line and read the answer; an empty one if the process died."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("Expected the worker to have pipes.")
    try:
        process.stdin.write(request + "\n")
        process.stdin.flush()
        return process.stdout.readline()
    except BrokenPipeError:
        return ""


def _exit_reason(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit status {code}"
