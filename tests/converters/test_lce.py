"""The worker: kept alive, restarted after a crash, its own first error shown."""

import os
import signal
import threading

import numpy as np
import pytest

from kbnn.converters import ConversionError, freeze, lce
from kbnn.converters.lce import Worker
from tests.converters.networks import chain, images


@pytest.fixture(scope="module")
def worker():
    worker = Worker()
    yield worker
    worker.close()


def test_one_process_serves_all_calls_and_a_killed_one_is_replaced(worker, tmp_path):
    with pytest.raises(ConversionError, match="failed in `convert`"):
        worker.call("convert", saved_model=str(tmp_path / "absent"), output="")
    first = worker._process.pid
    with pytest.raises(ConversionError, match="failed in `convert`"):
        worker.call("convert", saved_model=str(tmp_path / "absent"), output="")
    assert worker._process.pid == first
    os.kill(first, signal.SIGKILL)
    worker._process.wait()
    with pytest.raises(ConversionError, match="failed in `convert`"):
        worker.call("convert", saved_model=str(tmp_path / "absent"), output="")
    assert worker._process.pid != first


def test_a_crash_within_a_call_is_an_error_and_the_next_call_works(worker, tmp_path):
    """As LCE's native code dies; what really kills it depends on what stands in memory."""
    good = tmp_path / "good.tflite"
    good.write_bytes(lce.to_flatbuffer(freeze(chain())))
    np.save(tmp_path / "x.npy", np.zeros((1, 28, 28, 1), np.float32))
    arguments = {"inputs": [str(tmp_path / "x.npy")], "outputs": str(tmp_path / "y")}
    assert worker.call("predict", model=str(good), reference=False, **arguments) == 1
    process = worker._process.pid
    os.kill(process, signal.SIGSTOP)
    threading.Timer(0.5, os.kill, (process, signal.SIGKILL)).start()
    with pytest.raises(ConversionError, match=r"killed its process in `predict` \(signal 9\)"):
        worker.call("predict", model=str(good), reference=False, **arguments)
    assert worker.call("predict", model=str(good), reference=False, **arguments) == 1


def test_the_converters_own_first_error_is_shown(worker, tmp_path):
    with pytest.raises(ConversionError, match="SavedModel file does not exist"):
        worker.call("convert", saved_model=str(tmp_path / "absent"), output="")


def test_reference_and_optimised_kernels_agree(tmp_path):
    frozen = freeze(chain())
    path = tmp_path / "model.tflite"
    path.write_bytes(lce.to_flatbuffer(frozen))
    batch = [images(frozen, 4)]
    (fast,), (reference,) = (
        next(lce.predict(path, iter([batch]), reference=flag)) for flag in (False, True)
    )
    np.testing.assert_allclose(fast, reference, atol=1e-6)
