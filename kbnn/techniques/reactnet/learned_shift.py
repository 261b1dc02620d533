"""A learned shift per channel: before a sign, a learned threshold."""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

# A power of two, so that 1 - epsilon + epsilon is 1 in float32.
_EPSILON = 2.0**-10


@keras.utils.register_keras_serializable(package="kbnn")
class LearnedShift(keras.layers.Layer):
    r"""Add a learned number to each channel.

    $$y_{..c} = x_{..c} + b_c$$

    In front of a sign it is ReActNet's RSign, whose threshold $\alpha_c = -b_c$ is learned with the
    weights. On the device it disappears into the comparison of a binary convolution if that and
    batch normalization alone stand before it; behind a sum it is an addition.
    `kbnn.converters.freeze` turns it into batch normalization, so that the frozen model needs no
    kbnn.

    Args:
        initializer: of the shifts; zeros by default.
        regularizer: of the shifts; none by default.

    Input and output: `(batch, ..., channels)`.

    >>> import kbnn, numpy as np
    >>> shift = kbnn.layers.LearnedShift(initializer="ones")
    >>> shift(np.float32([[-1.5, 2.0]])).numpy()
    array([[-0.5,  3. ]], dtype=float32)

    Source: "ReActNet: Towards Precise Binary Neural Network with Generalized Activation Functions"
    (Liu et al., 2020), section 4.2, where RSign is `+1 if x > alpha`. Here, as everywhere in kbnn,
    `x = alpha` gives +1.
    """

    def __init__(self, initializer: Any = "zeros", regularizer: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.initializer = keras.initializers.get(initializer)
        self.regularizer = keras.regularizers.get(regularizer)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        self.shift = self.add_weight(
            name="shift",
            shape=(input_shape[-1],),
            initializer=self.initializer,
            regularizer=self.regularizer,
        )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs + self.shift

    def frozen_layer(self) -> tuple[keras.layers.Layer, list[np.ndarray]]:
        """The Keras layer that takes its place in a frozen model, and that layer's weights."""
        return shift_layer(self.name), shift_weights(self.shift.numpy())

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "initializer": keras.initializers.serialize(self.initializer),
            "regularizer": keras.regularizers.serialize(self.regularizer),
        }


def shift_layer(name: str) -> keras.layers.Layer:
    """Batch normalization that, with `shift_weights`, does nothing but add a shift."""
    layer = keras.layers.BatchNormalization(scale=False, epsilon=_EPSILON, name=name)
    # Its statistics are none: no recalibration may touch them.
    layer.trainable = False
    return layer


def shift_weights(shift: np.ndarray) -> list[np.ndarray]:
    """beta, moving mean and moving variance: the variance is 1 net of epsilon."""
    return [shift, np.zeros_like(shift), np.full_like(shift, 1 - _EPSILON)]
