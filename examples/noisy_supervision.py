"""Learning with noisy supervision: a trained binary network learns its signs anew, and ships.

By default it trains on the bundled sample of Fashion-MNIST (5,000 images), a few minutes on two
cores. `--data fashion_mnist` takes all of it; docs/data.md says where it is looked for.
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
    parser.add_argument("--epochs", type=int, default=20, help="of the network to begin with")
    parser.add_argument("--more", type=int, default=10, help="epochs with noisy supervision")
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
        # How far the signs have moved from the latent weights', and from the first network's.
        callbacks=[kbnn.callbacks.LearnedSignMonitor(trained)],
        verbose=2,
    )
    Console().print(kbnn.converters.convert(learned, arguments.out, verify_data=test).report)


def compile_model(model: keras.Model, learning_rate: float, steps: int) -> None:
    """Adam, with its learning rate falling to 0 along a cosine."""
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps)),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )


if __name__ == "__main__":
    main()
