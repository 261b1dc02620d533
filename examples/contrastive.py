"""Maximise the mutual information of binary activations and their real-valued sources.

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
    parser.add_argument("--negatives", choices=["batch", "queue", "bank"], default="batch")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("contrastive.tflite"))
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)

    place = {"directory": arguments.data_dir}
    info = kbnn.data.describe(arguments.data, **place)
    # A memory bank of all training images needs the indices of the images in a batch.
    with_index = arguments.negatives == "bank"
    train, validation, test = kbnn.data.load(
        arguments.data, **place, batch_size=128, with_index=with_index
    )

    model = kbnn.techniques.with_contrast(
        kbnn.models.vgg_tiny(info.input_shape, info.classes),
        negatives=(
            kbnn.techniques.MemoryBank(rows=info.train_size) if with_index else arguments.negatives
        ),
    )
    trainer = kbnn.trainers.Trainer(model, with_index=with_index)
    steps = arguments.epochs * len(train)
    trainer.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(5e-3, steps)),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    trainer.fit(
        train,
        validation_data=validation,
        epochs=arguments.epochs,
        # `conv_3/contrast_bound` is a lower bound of the mutual information, in nats.
        callbacks=[kbnn.callbacks.ContrastMonitor()],
        verbose=2,
    )
    Console().print(
        kbnn.converters.convert(
            model, arguments.out, verify_data=test.map(images_and_labels)
        ).report
    )


def images_and_labels(images, labels, *_):
    """Return the parts of a batch that verification takes."""
    return images, labels


if __name__ == "__main__":
    main()
