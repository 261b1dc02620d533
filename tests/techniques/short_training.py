"""A small network, images that it can learn, and a training run of seconds."""

import numpy as np
import tf_keras as keras

import kbnn

SHAPE, CLASSES = (12, 12, 1), 3


def chain(seed=1, **options):
    keras.utils.set_random_seed(seed)
    return kbnn.models.vgg_tiny(SHAPE, CLASSES, width=8, **options)


def nest(model, name="inner"):
    """Return a model around another one, whose input may have another name."""
    image = keras.Input(SHAPE, name=name)
    return keras.Model(image, model(image))


def learnable_images(count=128):
    """Return images of noise with a bright line at the row of their class, and the classes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, count)
    images = rng.normal(0, 0.5, (count, *SHAPE)).astype(np.float32)
    images[np.arange(count), labels * 3, :, 0] += 2
    return images, labels


def compiled(model, rate=0.01, **options):
    options = {"metrics": ["accuracy"], **options}
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", **options)
    return model


def fit(model, data, epochs=2, **options):
    keras.utils.set_random_seed(2)
    return model.fit(*data, batch_size=32, epochs=epochs, verbose=0, **options).history


def differences(one, other):
    """Return the largest difference in each weight of two models."""
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return [np.abs(a - b).max() for a, b in pairs]
