"""The worker process: kept alive, restarted after a crash, its errors shown."""

import os
import signal
import threading

import pytest

from kbnn.converters.worker import Worker, WorkerError

COMMANDS = """
import os, sys, time

def add(a, b):
    return a + b

def fail(messages):
    for message in messages:
        print(message, file=sys.stderr, flush=True)
    raise ValueError("bad input")

def print_something():
    os.write(1, b"native code prints here")
    return [1.5, None, "text"]

def environment(name):
    return os.environ.get(name)

def leave(status):
    os._exit(status)

def sleep(seconds):
    time.sleep(seconds)

COMMANDS = {f.__name__: f for f in [add, fail, print_something, environment, leave, sleep]}
"""


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    file = tmp_path_factory.mktemp("worker") / "commands.py"
    file.write_text(COMMANDS)
    return file


@pytest.fixture
def worker(commands):
    with Worker(commands, environment={"KBNN_TEST": "set"}) as worker:
        yield worker


def test_one_process_serves_all_calls_and_a_killed_one_is_replaced(worker):
    assert worker.call("add", a=1, b=2) == 3
    first = worker._process.pid
    assert worker.call("print_something") == [1.5, None, "text"]
    assert worker.call("environment", name="KBNN_TEST") == "set"
    assert worker._process.pid == first
    os.kill(first, signal.SIGKILL)
    worker._process.wait()
    assert worker.call("add", a=3, b=4) == 7
    assert worker._process.pid != first


def test_an_exception_leaves_the_process_alive_and_shows_its_first_native_error(worker):
    notes = [
        "I0000 00:00:1 a note",
        "something else",
        "loc(x): error: 'tfl.conv' failed",
        "ERROR 2",
    ]
    with pytest.raises(WorkerError, match=r"`fail` failed: ValueError: bad input") as failed:
        worker.call("fail", messages=notes)
    assert not failed.value.died
    assert failed.value.first_error == "loc(x): error: 'tfl.conv' failed"
    assert failed.value.messages[0] == "something else"
    with pytest.raises(WorkerError) as failed:
        worker.call("fail", messages=["only this"])
    assert failed.value.first_error == "only this"
    with pytest.raises(WorkerError, match="KeyError: 'absent'"):
        worker.call("absent")


def test_a_crash_within_a_call_is_an_error_and_the_next_call_works(worker):
    with pytest.raises(WorkerError, match="`leave` failed: exit status 3") as failed:
        worker.call("leave", status=3)
    assert failed.value.died
    worker.call("add", a=1, b=1)
    threading.Timer(0.3, os.kill, (worker._process.pid, signal.SIGKILL)).start()
    with pytest.raises(WorkerError, match="`sleep` failed: signal 9"):
        worker.call("sleep", seconds=60)
    assert worker.call("add", a=1, b=1) == 2


def test_a_command_that_takes_too_long_is_ended(commands):
    with Worker(commands, timeout=2) as worker:
        with pytest.raises(WorkerError, match="it took more than 2 seconds") as failed:
            worker.call("sleep", seconds=60)
        assert failed.value.died
        assert worker.call("add", a=1, b=1) == 2
