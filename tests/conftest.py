"""Shared by all tests. Importing kbnn first selects Keras 2 for the whole run."""

import os

# The networks are small: XLA takes longer to compile them than they take to run.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import kbnn  # noqa: F401

import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
import tf_keras as keras
from tensorflow.python.framework.config import disable_op_determinism  # not in tf.config

from kbnn.converters.interpreters import installed_interpreters
from tests.child_process import ChildProcess

_KBNN = [sys.executable, "-c", "from kbnn.cli.main import main; main()"]
_KBNN_FORKS = ChildProcess("tests.kbnn_command")


def pytest_ignore_collect(collection_path: pathlib.Path) -> bool | None:
    """Look for doctests in the library, not in what the tests import or start."""
    is_helper = collection_path.suffix == ".py" and not collection_path.name.startswith("test_")
    return True if is_helper else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("lce") is not None and "lce" not in installed_interpreters():
        pytest.skip("needs Larq Compute Engine, and NumPy 1")


@pytest.fixture(autouse=True)
def _fresh_state() -> None:
    """Nothing that a test sets for the process, such as `train_run`, stays for the next one."""
    disable_op_determinism()
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> pathlib.Path:
    """240 training and 40 test images of 3 classes that differ in brightness."""
    rng = np.random.default_rng(0)
    labels = np.arange(280) % 3
    pixels = rng.integers(0, 100, (280, 12, 12)) + 70 * labels[:, None, None]
    folder = tmp_path_factory.mktemp("images")
    x, y = pixels.astype(np.uint8), labels.astype(np.int64)
    np.savez(folder / "data.npz", x_train=x[:240], y_train=y[:240], x_test=x[240:], y_test=y[240:])
    return folder


@pytest.fixture(scope="session")
def start_kbnn():
    """A function that starts the command, or another one, in a process."""

    def start(*arguments, command=_KBNN):
        return subprocess.Popen(
            [*command, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Where the tests run in the background, Ctrl-C is ignored, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    return start


@pytest.fixture(scope="session")
def run_kbnn(start_kbnn, tmp_path_factory):
    """A function that runs the command to its end in a process, because training changes a process.

    The process is a fork of one that has imported kbnn. Another command has a process from the
    start.
    """
    outputs = [tmp_path_factory.mktemp("outputs") / name for name in ("stdout", "stderr")]

    def run(*arguments, command=None):
        if command is not None:
            with start_kbnn(*arguments, command=command) as process:
                output, errors = process.communicate(timeout=120)
            return subprocess.CompletedProcess(process.args, process.returncode, output, errors)
        for file in outputs:
            file.touch()
        stdout, stderr = map(str, outputs)
        given = [str(argument) for argument in arguments]
        status = _KBNN_FORKS.call(
            arguments=given,
            folder=str(pathlib.Path.cwd()),
            environment=dict(os.environ),
            stdout=stdout,
            stderr=stderr,
        )
        output, errors = (file.read_text() for file in outputs)
        return subprocess.CompletedProcess(["kbnn", *given], status, output, errors)

    return run


@pytest.fixture(scope="session")
def settings(images):
    """A function that gives the options of a run of 7 batches an epoch, well below a second."""

    def options(*, epochs):
        return [
            *("--data", "folder", "--data-dir", str(images), "--width", "8", "--batch-size", "32"),
            *("--epochs", str(epochs), "--augment", "both", "--seed", "3"),
        ]

    return options


@pytest.fixture(scope="session")
def finished(run_kbnn, settings, tmp_path_factory):
    """A run of 3 epochs, and the process that made it."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    process = run_kbnn("train", *settings(epochs=3), "--run", folder, "--json")
    assert process.returncode == 0, process.stderr
    return folder, process
