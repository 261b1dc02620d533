"""A binary network taught by its own latent weights, from training to a verified device file.

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
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("latent_weights.tflite"))
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)

    place = {"directory": arguments.data_dir}
    info = kbnn.data.describe(arguments.data, **place)
    train, validation, test = kbnn.data.load(arguments.data, **place, batch_size=32)
    model = kbnn.models.vgg_tiny(info.input_shape, info.classes)
    trainer = kbnn.trainers.LatentWeightTrainer(
        model, [kbnn.losses.RealPathLoss(1.0), kbnn.losses.Distillation(0.3, temperature=4.0)]
    )
    steps = arguments.epochs * len(train)
    trainer.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(5e-3, steps)),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    # accuracy is that of the binary network, real_accuracy that of its twin.
    trainer.fit(train, validation_data=validation, epochs=arguments.epochs, verbose=2)
    # The twin stays behind: what ships is the binary network.
    Console().print(kbnn.converters.convert(model, arguments.out, verify_data=test).report)


if __name__ == "__main__":
    main()
