"""The layer that embeds an activation as a point on a sphere."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn import _checks

POOLINGS = ("average", "flatten")


@keras.utils.register_keras_serializable(package="kbnn")
class EmbeddingHead(keras.layers.Layer):
    r"""Pools or flattens activations, maps them linearly, and scales them to length 1.

    $$e = \frac{W^T p(a) + b}{\| W^T p(a) + b \|}$$

    It always computes in float32.

    Args:
        units: The size of the embedding.
        pooling: p. "average" takes the mean over all positions, for images of any size. "flatten"
            keeps the positions and needs images of a known size.

    Input and output: `(batch, ..., channels)`, `(batch, units)`.

    Raises:
        ValueError: An argument is out of range, the number of channels is unknown, or "flatten"
            meets an activation of unknown size.

    Source: the embeddings of "Contrastive Representation Distillation" (Tian et al., 2020), which
    the CMIM code uses.
    """

    def __init__(self, units: int = 128, pooling: str = "average", **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.units = _checks.positive_int("units", units)
        self.pooling = _checks.one_of("pooling", pooling, POOLINGS)

    def build(self, input_shape: Any) -> None:
        features = input_shape[1:] if self.pooling == "flatten" else input_shape[-1:]
        if len(input_shape) < 2 or None in tuple(features):
            raise ValueError(
                "Expected activations (batch, ..., channels) with a known number of channels and, "
                'for pooling="flatten", a known height and width. Received: shape '
                f'{tuple(input_shape)}. For images of any size use pooling="average".'
            )
        size = tf.TensorShape(features).num_elements()
        self.kernel = self.add_weight("kernel", (size, self.units), initializer="glorot_uniform")
        self.bias = self.add_weight("bias", (self.units,), initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        if self.pooling == "flatten":
            inputs = tf.reshape(inputs, (-1, self.kernel.shape[0]))
        elif inputs.shape.rank > 2:
            inputs = tf.reduce_mean(inputs, axis=list(range(1, inputs.shape.rank - 1)))
        return tf.math.l2_normalize(tf.matmul(inputs, self.kernel) + self.bias, axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "pooling": self.pooling}
