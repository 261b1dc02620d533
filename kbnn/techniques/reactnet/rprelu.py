"""ReActNet's activation: a PReLU with two learned shifts."""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn.techniques.reactnet.learned_shift import shift_layer, shift_weights


@keras.utils.register_keras_serializable(package="kbnn")
class RPReLU(keras.layers.Layer):
    r"""PReLU with a learned shift before it and another after it, per channel.

    $$y = \begin{cases} x - \gamma + \zeta & x > \gamma \\
                        \beta (x - \gamma) + \zeta & \text{otherwise} \end{cases}$$

    The weight `shift_in` is minus gamma, `slope` is beta and `shift_out` is zeta.
    `kbnn.converters.freeze` replaces the layer by Keras's batch normalization and PReLU, so the
    frozen model does not need kbnn.

    Args:
        slope_initializer: initializer of beta; by default the constant 0.25. The shifts start at
            zero.

    Call arguments:
        inputs: `(batch, ..., channels)`.

    Returns:
        A tensor of the shape of `inputs`.

    Example:
        >>> import kbnn, numpy as np
        >>> kbnn.layers.RPReLU()(np.float32([[-4.0, 2.0]])).numpy()
        array([[-1.,  2.]], dtype=float32)

    Source: "ReActNet: Towards Precise Binary Neural Network with Generalized Activation Functions"
    (Liu et al., 2020).
    """

    def __init__(self, slope_initializer: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.slope_initializer = keras.initializers.get(
            keras.initializers.Constant(0.25) if slope_initializer is None else slope_initializer
        )
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        channels = (input_shape[-1],)
        self._rank = len(input_shape)
        self.shift_in = self.add_weight(name="shift_in", shape=channels, initializer="zeros")
        self.slope = self.add_weight(
            name="slope", shape=channels, initializer=self.slope_initializer
        )
        self.shift_out = self.add_weight(name="shift_out", shape=channels, initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        shifted = inputs + self.shift_in
        return tf.nn.relu(shifted) - self.slope * tf.nn.relu(-shifted) + self.shift_out

    def frozen_layer(self) -> tuple[keras.layers.Layer, list[np.ndarray]]:
        """Return the Keras layers that replace this one in a frozen model, and their weights."""
        # The model may use the layer on images of several sizes.
        open_sizes = [None] * (self._rank - 2)
        layers = keras.Sequential(
            [
                keras.Input((*open_sizes, self.slope.shape[0])),
                shift_layer(f"{self.name}_shift_in"),
                keras.layers.PReLU(
                    shared_axes=list(range(1, self._rank - 1)), name=f"{self.name}_prelu"
                ),
                shift_layer(f"{self.name}_shift_out"),
            ],
            name=self.name,
        )
        slope = self.slope.numpy().reshape([1] * (self._rank - 2) + [-1])
        shift_in = shift_weights(self.shift_in.numpy())
        return layers, [*shift_in, slope, *shift_weights(self.shift_out.numpy())]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "slope_initializer": keras.initializers.serialize(self.slope_initializer),
        }
