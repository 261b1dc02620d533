"""Larq Compute Engine in its worker process: what users see when it fails, and its two kernels."""

import os
import signal
import threading

import numpy as np
import pytest

from kbnn.converters import ConversionError, lce

pytestmark = pytest.mark.lce


def test_the_converters_own_first_error_is_shown(tmp_path):
    with pytest.raises(ConversionError, match=r"failed in `convert`.*SavedModel file does not exi"):
        lce.call_lce("convert", saved_model=str(tmp_path / "absent"), output="")


def test_a_crash_within_a_call_is_an_error_and_the_next_call_works(plain_chain, tmp_path):
    """As LCE's native code dies; what really kills it depends on the contents of its memory."""
    np.save(tmp_path / "x.npy", np.zeros((1, 28, 28, 1), np.float32))
    arguments = {
        "model": str(plain_chain.path),
        "reference": False,
        "inputs": [str(tmp_path / "x.npy")],
        "outputs": str(tmp_path / "y"),
    }
    assert lce.call_lce("predict", **arguments) == 1
    process = lce.WORKER._process.pid
    os.kill(process, signal.SIGSTOP)
    threading.Timer(0.5, os.kill, (process, signal.SIGKILL)).start()
    with pytest.raises(ConversionError, match=r"killed its process in `predict` \(signal 9\)"):
        lce.call_lce("predict", **arguments)
    assert lce.call_lce("predict", **arguments) == 1


def test_reference_and_optimised_kernels_agree(plain_chain):
    batch = [plain_chain.images[:4]]
    (fast,), (reference,) = (
        next(lce.predict(plain_chain.path, iter([batch]), reference=flag)) for flag in (False, True)
    )
    np.testing.assert_allclose(fast, reference, atol=1e-6)
