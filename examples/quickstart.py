"""Go from images to a verified file for the Raspberry Pi in one script.

It trains a small binary network on the bundled sample of Fashion-MNIST (5,000 images), converts it
to a Larq Compute Engine file, compares both on the 1,000 test images, and writes the results to
results/quickstart.json.
"""

import argparse
import contextlib
import json
import pathlib
from importlib import metadata

import kbnn  # before TensorFlow and Keras: selects Keras 2

import tf_keras as keras
from rich.console import Console

from kbnn import converters
from kbnn.converters.interpreters import installed_interpreters


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("results"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(arguments.seed)

    train, validation, test = kbnn.data.load(
        "fashion_mnist_sample", batch_size=32, seed=arguments.seed
    )
    # Without softmax, so that the comparison with the device compares logits.
    model = kbnn.models.vgg_tiny(classifier_activation=None)
    steps = arguments.epochs * len(train)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(5e-3, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(train, validation_data=validation, epochs=arguments.epochs, verbose=2)

    # `kbnn-run classify` reads labels and preprocessing from this sidecar, fashion.json.
    file = arguments.out / "fashion.tflite"
    report = converters.convert(model, file, verify_data=test).report
    Console().print(report)
    names = kbnn.data.describe("fashion_mnist_sample").class_names
    converters.write_sidecar(file, model, labels=names, scale=1 / 127.5, offset=-1.0)

    # In each interpreter: kbnn-runtime, which a Raspberry Pi runs, and LCE's own if it works here.
    by_interpreter = {
        name: converters.verify(model, file, test, interpreter=name)
        for name in installed_interpreters()
    }
    for name, of_interpreter in by_interpreter.items():
        if not of_interpreter.passed:
            raise SystemExit(f"{name}: {'; '.join(of_interpreter.failures)}")
    latency = {one.interpreter: one.median for one in converters.latency(file)}

    # The same network with real weights and ReLUs, to compare the size of its file.
    real = kbnn.models.vgg_tiny(
        classifier_activation=None, input_quantizer=None, kernel_quantizer=None
    )
    real_file = arguments.out / "quickstart_float.tflite"
    float_model_bytes = converters.convert(real, real_file).report.file_bytes
    real_file.unlink()

    parity = report.parity
    result = {
        "keras_accuracy": parity.keras_accuracy,
        "device_accuracy": parity.device_accuracy,
        "class_agreement": parity.class_agreement,
        # For an image with a proven tie (see docs/conversion.md) Keras counts with the device's
        # bit. The next number is without this allowance.
        "max_logit_difference": parity.max_difference_off_ties,
        "max_logit_difference_with_ties": parity.max_difference,
        "images_with_a_tie": len(parity.ties),
        "file_bytes": report.file_bytes,
        "float_model_bytes": float_model_bytes,
        "device_accuracy_by_interpreter": {
            name: found.device_accuracy for name, found in by_interpreter.items()
        },
        # Median for one image. Times vary between and on machines, so compare the two.
        "milliseconds_by_interpreter": {name: round(ms, 3) for name, ms in latency.items()},
        "binary_ops": report.binary_ops,
        "float_ops": report.float_ops,
        "test_images": parity.samples,
        "epochs": arguments.epochs,
        "seed": arguments.seed,
        "versions": {"kbnn": kbnn.__version__, **package_versions()},
    }
    path = arguments.out / "quickstart.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    print(f"wrote {file} and {path}")


def package_versions() -> dict[str, str]:
    """The versions of the packages that the results depend on, as far as they are installed."""
    versions = {}
    for package in ("tensorflow", "numpy", "larq", "larq-compute-engine"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


if __name__ == "__main__":
    main()
