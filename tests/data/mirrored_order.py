"""Train epochs 2 and 3 on two virtual CPUs, the pipeline made in- or outside the scope.

`python mirrored_order.py inside|outside OUT.npy` writes the order in which images were seen.
"""

import contextlib
import sys

import kbnn

# isort: split
import numpy as np
import tensorflow as tf
import tf_keras as keras


class Recorder(keras.Model):
    """Learns one number, and remembers the indices of every batch that it is trained on.

    On several devices, it remembers the indices of each device's part of a batch.
    """

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.seen = []

    def call(self, images):
        return self.dense(tf.reshape(images, [-1, 784]))

    def train_step(self, data):
        images, labels, index = data
        tf.py_function(lambda value: self.seen.append(value.numpy()), [index], [])
        return super().train_step((images, labels))

    def test_step(self, data):
        return super().test_step(data[:2])


def main(scope, out):
    """Run the training and write the file."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope() if scope == "inside" else contextlib.nullcontext():
        train, validation, _ = kbnn.data.load(
            "fashion_mnist_sample", batch_size=500, with_index=True
        )
    with strategy.scope():
        model = Recorder()
        model.compile("sgd", "mse")
    model.fit(
        train,
        initial_epoch=2,
        epochs=4,
        callbacks=[kbnn.callbacks.ShuffleEpoch(train)],
        validation_data=validation,
        verbose=0,
    )
    np.save(out, np.concatenate(model.seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
