"""The files under examples/ are what their cards say."""

import pathlib

import tf_keras as keras

import kbnn

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
