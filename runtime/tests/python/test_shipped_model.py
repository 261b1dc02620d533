"""The trained network in examples/fashion_mnist, run as users run it."""

import pathlib

import numpy as np
import pytest

from kbnn_runtime import Interpreter, available_kernels

ROOT = pathlib.Path(__file__).parents[3]
MODEL = ROOT / "examples" / "fashion_mnist" / "model.tflite"


@pytest.fixture(scope="module")
def sample():
    with np.load(ROOT / "kbnn" / "data" / "fashion_mnist_sample.npz", allow_pickle=False) as arrays:
        return arrays["x_test"][..., None], arrays["y_test"]


@pytest.mark.parametrize("kernels", available_kernels())
@pytest.mark.parametrize("threads", [1, 2])
def test_accuracy_matches_the_card(sample, kernels, threads):
    images, labels = sample
    interpreter = Interpreter(MODEL, num_threads=threads, kernels=kernels)
    logits = interpreter.predict(images)
    # The card says 0.9000 of all 10,000 test images; these are 1,000 of them.
    assert abs(np.mean(logits.argmax(axis=1) == labels) - 0.9) < 0.03


def test_batches_and_single_images_agree(sample):
    images = sample[0][:20]
    interpreter = Interpreter(MODEL)
    together = interpreter.predict(images, batch_size=20)
    single = np.concatenate([interpreter.predict(image[None]) for image in images])
    np.testing.assert_allclose(together, single, rtol=1e-5, atol=1e-5)


def test_the_profile_contains_the_binary_operators(sample):
    profile = Interpreter(MODEL).profile(sample[0][:1], runs=3)
    types = [entry.type for entry in profile.operators]
    assert types.count("LceBconv2d") == 3
    assert {"LceQuantize", "LceBMaxPool2d"} < set(types)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_an_error_and_no_crash(share):
    content = MODEL.read_bytes()
    with pytest.raises(ValueError, match="Expected a model"):
        Interpreter(content[: int(share * len(content))])
