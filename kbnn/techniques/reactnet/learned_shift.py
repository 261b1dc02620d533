"""A learned shift per channel, which makes the threshold of a sign learnable."""

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

    Before a sign, this is ReActNet's RSign: the sign then has the threshold $\alpha_c = -b_c$,
    which is learned with the weights.

    On the device the shift is free if only batch normalization is between it and a binary
    convolution: it becomes part of that convolution's threshold. After a sum it costs an addition.
    `kbnn.converters.freeze` replaces the layer by a batch normalization, so the frozen model does
    not need kbnn.

    Args:
        initializer: initializer of the shifts.
        regularizer: regularizer of the shifts; None for none.

    Call arguments:
        inputs: `(batch, ..., channels)`.

    Returns:
        A tensor of the shape of `inputs`.

    Example:
        >>> import kbnn, numpy as np
        >>> shift = kbnn.layers.LearnedShift(initializer="ones")
        >>> shift(np.float32([[-1.5, 2.0]])).numpy()
        array([[-0.5,  3. ]], dtype=float32)

    Source: "ReActNet: Towards Precise Binary Neural Network with Generalized Activation Functions"
    (Liu et al., 2020). RSign there is +1 if x > alpha; in kbnn x = alpha gives +1 too.
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
        """Return the Keras layer that replaces this one in a frozen model, and its weights."""
        return shift_layer(self.name), shift_weights(self.shift.numpy())

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "initializer": keras.initializers.serialize(self.initializer),
            "regularizer": keras.regularizers.serialize(self.regularizer),
        }


def shift_layer(name: str) -> keras.layers.Layer:
    """Make a batch normalization that, with `shift_weights`, only adds a shift."""
    layer = keras.layers.BatchNormalization(scale=False, epsilon=_EPSILON, name=name)
    # Its mean and variance are no statistics: no recalibration may change them.
    layer.trainable = False
    return layer


def shift_weights(shift: np.ndarray) -> list[np.ndarray]:
    """Return beta, moving mean and moving variance; variance and epsilon add up to 1."""
    return [shift, np.zeros_like(shift), np.full_like(shift, 1 - _EPSILON)]
