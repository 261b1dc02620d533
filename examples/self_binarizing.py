"""Train a self-binarizing network, and convert it to a verified device file.

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
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("self_binarizing.tflite"))
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)

    place = {"directory": arguments.data_dir}
    info = kbnn.data.describe(arguments.data, **place)
    train, validation, test = kbnn.data.load(arguments.data, **place, batch_size=32)
    model = kbnn.models.vgg_tiny(
        info.input_shape,
        info.classes,
        input_quantizer="smooth_sign",
        kernel_quantizer="smooth_sign",
        normalization="binary",
    )
    steps = arguments.epochs * len(train)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(5e-3, steps)),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(
        train,
        validation_data=validation,
        epochs=arguments.epochs,
        callbacks=[
            # Sharp activations lose their gradients; kernels tolerate more. The forward pass is the
            # tanh at first, and the hard sign in the last fifth of the training.
            kbnn.callbacks.SharpnessSchedule(1, 100, quantizers="kernel", hard_forward_from=0.8),
            kbnn.callbacks.SharpnessSchedule(1, 10, quantizers="input", hard_forward_from=0.8),
        ],
        verbose=2,
    )

    # The network that training sees and the network that ships. At the end, both have hard signs.
    smooth = kbnn.techniques.smooth_network(model)
    for name, network in (("smooth", smooth), ("signs", model)):
        network.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        measured = network.evaluate(validation, verbose=0, return_dict=True)
        print(f"validation accuracy, {name}: {measured['accuracy']:.4f}")
    Console().print(kbnn.converters.convert(model, arguments.out, verify_data=test).report)


if __name__ == "__main__":
    main()
