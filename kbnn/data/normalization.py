"""Bytes to [-1, 1]: one formula, in the input pipeline or as a layer of the model."""

import tensorflow as tf
import tf_keras as keras

_SCALE = 1 / 127.5
_OFFSET = -1.0


def normalize(images: tf.Tensor) -> tf.Tensor:
    """Map uint8 images to float32 in [-1, 1], bit for bit as `normalization_layer` does."""
    return tf.cast(images, tf.float32) * tf.constant(_SCALE, tf.float32) + _OFFSET


def normalization_layer() -> keras.layers.Rescaling:
    r"""Return the layer that maps bytes to [-1, 1], for models fed with `normalize="none"`.

    \\[ y = x / 127.5 - 1 \\]

    It is plain Keras, so a saved model loads without kbnn. It computes in float32
    under every mixed precision policy, and gives exactly what `normalize="pipeline"` gives.

    Returns:
        `Rescaling(1 / 127.5, offset=-1, name="normalization", dtype="float32")`: any shape in,
        the same shape out.

    Example:
        >>> import kbnn
        >>> kbnn.data.normalization_layer()(tf.constant([0, 255], tf.uint8)).numpy()
        array([-1.,  1.], dtype=float32)
    """
    return keras.layers.Rescaling(_SCALE, offset=_OFFSET, name="normalization", dtype="float32")
