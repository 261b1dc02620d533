"""Train a binary network, fine-tune its signs with noisy supervision, and convert it.

By default it trains on the bundled sample of Fashion-MNIST (5,000 images), which takes a few
minutes on two cores. `--data fashion_mnist` trains on all images; docs/data.md says where kbnn
looks for them.
"""

import argparse
import pathlib

import kbnn  # before TensorFlow and Keras: selects Keras 2

import tf_keras as keras
from rich.console import Console


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="fashion_mnist_sample")
    parser.add_argument("--data-dir")
    parser.add_argument("--epochs", type=int, default=20, help="of the first training")
    parser.add_argument("--more", type=int, default=10, help="epochs of fine-tuning")
    parser.add_argument("--noise-rate", type=float, default=0.1)
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("noisy_supervision.tflite")
    )
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)

    place = {"directory": arguments.data_dir}
    info = kbnn.data.describe(arguments.data, **place)
    train, validation, test = kbnn.data.load(arguments.data, **place, batch_size=32)

    trained = kbnn.models.vgg_tiny(info.input_shape, info.classes)
    compile_model(trained, 5e-3, arguments.epochs * len(train))
    trained.fit(train, validation_data=validation, epochs=arguments.epochs, verbose=2)

    learned = kbnn.requantize(
        trained, kernel_quantizer=kbnn.quantizers.LearnedSign(arguments.noise_rate)
    )
    compile_model(learned, 1e-3, arguments.more * len(train))
    learned.fit(
        train,
        validation_data=validation,
        epochs=arguments.more,
        # Logs how many signs differ from the latent weights' signs, and from the first network's.
        callbacks=[kbnn.callbacks.LearnedSignMonitor(trained)],
        verbose=2,
    )
    Console().print(kbnn.converters.convert(learned, arguments.out, verify_data=test).report)


def compile_model(model: keras.Model, learning_rate: float, steps: int) -> None:
    """Compile with Adam, whose learning rate falls to 0 along a cosine."""
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps)),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )


if __name__ == "__main__":
    main()
