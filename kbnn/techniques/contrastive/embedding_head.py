"""From an activation to a point on a sphere, where similarities are inner products."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn import _checks

POOLINGS = ("average", "flatten")


@keras.utils.register_keras_serializable(package="kbnn")
class EmbeddingHead(keras.layers.Layer):
    r"""Pools or flattens activations, maps them linearly, and scales them to length 1.

    $$e = \frac{W^T p(a) + b}{\| W^T p(a) + b \|}$$

    Always in float32.

    Args:
        units: size of the embedding.
        pooling: p: "average" over all positions, for images of any size; or "flatten", which keeps
            where things are and needs a known size.

    Input and output: `(batch, ..., channels)`, `(batch, units)`.

    Raises:
        ValueError: an argument out of range; "flatten" of activations of unknown size, or channels
            of unknown number.

    Source: the embeddings of "Contrastive Representation Distillation" (Tian et al., 2020), which
    the paper's (CMIM) code has.
    """

    def __init__(self, units: int = 128, pooling: str = "average", **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.units = _checks.positive_int("units", units)
        self.pooling = _checks.one_of("pooling", pooling, POOLINGS)

    def build(self, input_shape: Any) -> None:
        taken = input_shape[1:] if self.pooling == "flatten" else input_shape[-1:]
        if len(input_shape) < 2 or None in tuple(taken):
            raise ValueError(
                "Expected activations (batch, ..., channels) of a known number of channels and, "
                'with pooling="flatten", a known height and width. Received: a shape '
                f'{tuple(input_shape)}. For images of any size take pooling="average".'
            )
        size = tf.TensorShape(taken).num_elements()
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
