"""Check that one step on two replicas equals one step on their joint batch.

python mirrored_supervision.py twin|mixture|gradient|teacher
"""

import kbnn

# isort: split
import sys

import larq as lq
import numpy as np
import tensorflow as tf
import tf_keras as keras

DEVICES = [tf.config.LogicalDeviceConfiguration()] * 2


def model(seed=1, quantizer="ste_sign"):
    keras.utils.set_random_seed(seed)
    image = keras.Input((6,))
    x = keras.layers.Dense(8)(image)
    x = lq.layers.QuantDense(
        8, input_quantizer=quantizer, kernel_quantizer=quantizer, kernel_constraint="weight_clip"
    )(x)
    return keras.Model(image, keras.layers.Dense(3, activation="softmax")(x))


def trainer_of(kind):
    if kind == "twin":
        supervision = [kbnn.losses.RealPathLoss(), kbnn.losses.Distillation()]
        return kbnn.trainers.LatentWeightTrainer(model(), supervision)
    if kind == "mixture":
        share = keras.optimizers.schedules.PolynomialDecay(0.25, 4, 1.0)
        return kbnn.trainers.LatentMixtureTrainer(model(), share)
    if kind == "gradient":
        return kbnn.trainers.LatentGradientTrainer(model(), 0.5)
    return kbnn.trainers.DistillationTrainer(model(), model(5, None))


def trained(x, y):
    trainer = trainer_of(sys.argv[1])
    trainer.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    history = trainer.fit(x, y, batch_size=32, epochs=2, shuffle=False, verbose=0).history
    return trainer, history


tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], DEVICES)
rng = np.random.default_rng(0)
x, y = rng.normal(size=(64, 6)).astype(np.float32), rng.integers(0, 3, 64)
one, history = trained(x, y)
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    two, of_replicas = trained(x, y)
for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
for name in history:
    np.testing.assert_allclose(history[name], of_replicas[name], rtol=1e-4)
