import signal
import subprocess
import sys

import pytest

_KBNN = [sys.executable, "-c", "from kbnn.cli.main import main; main()"]


@pytest.fixture(scope="session")
def start_kbnn():
    """A function that starts the command in a process of its own.

    Training needs one: it changes the state of its process for good.
    """

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
def run_kbnn(start_kbnn):
    """A function that runs the command to its end in a process of its own."""

    def run(*arguments, **options):
        with start_kbnn(*arguments, **options) as process:
            output, errors = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

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
