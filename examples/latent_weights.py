"""Train a binary network that its own latent weights teach, and convert it to a verified file.

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
    # The logs have `accuracy` for the binary network and `real_accuracy` for its twin.
    trainer.fit(train, validation_data=validation, epochs=arguments.epochs, verbose=2)
    # Only the binary network ships, not the twin.
    Console().print(kbnn.converters.convert(model, arguments.out, verify_data=test).report)


if __name__ == "__main__":
    main()
