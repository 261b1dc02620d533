"""The files under examples/ are what their cards say."""

import pathlib

import tf_keras as keras

import kbnn
from kbnn_runtime import Interpreter

FOLDER = pathlib.Path(__file__).parent.parent / "examples" / "fashion_mnist"


def test_the_shipped_model_and_its_device_file_agree_on_the_bundled_images():
    model = keras.models.load_model(FOLDER / "model.keras", compile=False)
    test = kbnn.data.load("fashion_mnist_sample", normalize="none").test
    parity = kbnn.converters.verify(model, FOLDER / "model.tflite", test)
    assert parity.passed
    # The card says 0.9000 of all 10,000 test images; these are 1,000 of them.
    assert abs(parity.device_accuracy - 0.9) < 0.03
    assert (
        f"{(FOLDER / 'model.tflite').stat().st_size:,} bytes" in (FOLDER / "README.md").read_text()
    )


def test_the_sidecar_has_the_runtime_classify_the_bundled_images_by_name():
    (images, labels), *_ = kbnn.data.load("fashion_mnist_sample", normalize="none").test
    names = kbnn.data.describe("fashion_mnist").class_names
    found = Interpreter(FOLDER / "model.tflite").classify(images.numpy(), top=1)
    right = [best.label == names[label] for (best,), label in zip(found, labels, strict=True)]
    assert sum(right) / len(right) > 0.8
