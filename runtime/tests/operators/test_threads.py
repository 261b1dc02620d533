"""Several threads, several interpreters, and the options of the delegate."""

import gc
import os
import pathlib
import subprocess
import sys
import threading

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, load_delegate
from delegates import interpreter, library, run
from operator_models import Convolution
from reference import convolution_sums, pack


def convolution(channels: int = 48, channels_in: int = 96) -> tuple[Convolution, np.ndarray]:
    random = np.random.default_rng(channels)
    subject = Convolution(
        filters=1 - 2 * random.integers(0, 2, (channels, 3, 3, channels_in)),
        channels_in=channels_in,
        padding="zero",
        multiplier=np.ones(channels),
        bias=np.zeros(channels),
    )
    return subject, 1 - 2 * random.integers(0, 2, (1, 13, 11, channels_in))


@pytest.mark.parametrize("num_threads", [1, 2, 3, 8, 64, 128])
@pytest.mark.parametrize("output", ["float32", "packed"])
def test_any_number_of_threads_gives_the_same(num_threads, output, kernels):
    subject, inputs = convolution()
    subject.output = output
    subject.thresholds = np.full(48, 430)
    one = run(subject.model(), pack(inputs), kernels=kernels)
    many = run(subject.model(), pack(inputs), kernels=kernels, num_threads=num_threads)
    np.testing.assert_array_equal(many, one)


def test_one_interpreter_per_thread():
    subject, inputs = convolution()
    expected = convolution_sums(subject, inputs)
    errors = []

    def work():
        network = interpreter(subject.model(), num_threads=3)
        given = network.get_input_details()[0]["index"]
        network.resize_tensor_input(given, pack(inputs).shape)
        network.allocate_tensors()
        network.set_tensor(given, pack(inputs))
        for _ in range(100):
            network.invoke()
            output = network.get_tensor(network.get_output_details()[0]["index"])
            if not np.array_equal(output, expected):
                errors.append(output)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert errors == []


def test_two_interpreters_share_a_delegate():
    delegate = load_delegate(library(), {"num_threads": "3"})
    networks, expected = [], []
    for channels in (48, 33):
        subject, inputs = convolution(channels)
        network = Interpreter(model_content=subject.model(), experimental_delegates=[delegate])
        given = network.get_input_details()[0]["index"]
        network.resize_tensor_input(given, pack(inputs).shape)
        network.allocate_tensors()
        network.set_tensor(given, pack(inputs))
        networks.append(network)
        expected.append(convolution_sums(subject, inputs))

    def work(network):
        for _ in range(200):
            network.invoke()

    workers = [threading.Thread(target=work, args=[network]) for network in networks]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for network, sums in zip(networks, expected, strict=True):
        output = network.get_tensor(network.get_output_details()[0]["index"])
        np.testing.assert_array_equal(output, sums)


@pytest.mark.skipif(
    not pathlib.Path("/proc/self/task").is_dir(), reason="threads are counted in /proc"
)
def test_threads_end_with_the_delegate():
    tasks = pathlib.Path("/proc/self/task")
    # Delegates of other tests must not end their threads meanwhile.
    gc.collect()
    before = len(list(tasks.iterdir()))
    delegate = load_delegate(library(), {"num_threads": "9"})
    assert len(list(tasks.iterdir())) == before + 8
    del delegate
    gc.collect()
    assert len(list(tasks.iterdir())) == before


# Uses an interpreter in a forked process; exits with 0 if everything works.
FORK = """
import gc, os, sys, time
import numpy as np
from ai_edge_litert.interpreter import Interpreter, load_delegate

library, model, inputs = sys.argv[1:]
given = np.load(inputs)
delegate = load_delegate(library, {"num_threads": "3"})
network = Interpreter(model, num_threads=1, experimental_delegates=[delegate])
network.resize_tensor_input(network.get_input_details()[0]["index"], given.shape)
network.allocate_tensors()
network.set_tensor(network.get_input_details()[0]["index"], given)
network.invoke()
output = network.get_output_details()[0]["index"]
expected = network.get_tensor(output)
time.sleep(0.2)  # the workers fall asleep
child = os.fork()
network.invoke()
same = np.array_equal(network.get_tensor(output), expected)
del network, delegate
gc.collect()
if child == 0:
    os._exit(not same)
sys.exit(not same or os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_computes_and_exits(tmp_path):
    subject, inputs = convolution()
    (tmp_path / "model.tflite").write_bytes(subject.model())
    np.save(tmp_path / "inputs.npy", pack(inputs))
    paths = [library(), tmp_path / "model.tflite", tmp_path / "inputs.npy"]
    done = subprocess.run(
        [sys.executable, "-c", FORK, *map(str, paths)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_threads": "0"}, "Expected num_threads .* Received 0"),
        ({"num_threads": "129"}, "Expected num_threads .* Received 129"),
        ({"num_threads": "-1"}, "Expected num_threads .* Received -1"),
        ({"num_threads": " 2"}, "Expected num_threads .* Received  2"),
        ({"num_threads": "2x"}, "Expected num_threads .* Received 2x"),
        ({"num_threads": ""}, "Expected num_threads .* Received "),
        ({"num_threads": "99999999999999999999"}, "Expected num_threads"),
        ({"kernels": "sse9"}, "Expected kernels .* Received sse9"),
        ({"kernels": ""}, "Expected kernels"),
        ({"fusion": "1"}, "Expected fusion to be .on. or .off.. Received 1"),
        (
            {"threads": "2"},
            "Expected the options num_threads, kernels and fusion. Received threads",
        ),
        ({"x" * 1000: "2"}, "Expected the options"),
    ],
)
def test_wrong_options_raise_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        load_delegate(library(), options)
