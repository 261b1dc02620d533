"""Check that one step on two replicas equals one step on their joint batch."""

import kbnn

# isort: split
import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn.techniques import EmbeddingQueue, MemoryBank, SameBatch

DEVICES = [tf.config.LogicalDeviceConfiguration()] * 2
SOURCES = {
    "batch": SameBatch(),
    "queue": EmbeddingQueue(40),
    "bank": MemoryBank(rows=72, count=30),
    "per_anchor": MemoryBank(rows=72, count=30, per_anchor=True),
}


def model(negatives):
    keras.utils.set_random_seed(1)
    image = keras.Input((6,))
    x = keras.layers.Dense(8, activation="tanh")(image)
    options = {
        "negatives": negatives,
        "weight": 1.0,
        "embedding": 5,
        "temperature": 0.5,
        "name": "sign",
    }
    x = kbnn.quantizers.ContrastiveSign(**options)(x)
    return keras.Model(image, keras.layers.Dense(3, activation="softmax")(x))


def trained(data, negatives):
    made = model(negatives)
    trainer = kbnn.trainers.Trainer(made, with_index=True)
    trainer.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    monitor = kbnn.callbacks.ContrastMonitor()
    history = trainer.fit(data, epochs=2, verbose=0, callbacks=[monitor]).history
    return made, history


tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], DEVICES)
rng = np.random.default_rng(0)
x, y = rng.normal(size=(72, 6)).astype(np.float32), rng.integers(0, 3, 72)
data = tf.data.Dataset.from_tensor_slices((x, y, rng.permutation(72))).batch(24)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for name, negatives in SOURCES.items():
    one, history = trained(data, negatives)
    with strategy.scope():
        two, of_replicas = trained(data, negatives)
    assert history.keys() == of_replicas.keys()
    for key in history:
        close = {"rtol": 1e-4, "atol": 1e-5}
        if not key.endswith("distinct_codes"):  # that is of each replica's batch
            np.testing.assert_allclose(history[key], of_replicas[key], **close, err_msg=name + key)
    for a, b in zip(one.weights, two.weights, strict=True):
        if "sums" not in a.name:
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5, err_msg=name + a.name)
        first, second = (value.numpy() for value in b.values)
        np.testing.assert_array_equal(first, second, err_msg=b.name)
    assert all(np.ptp(w.numpy()) > 0 for w in one.trainable_weights)
