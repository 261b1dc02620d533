"""The layers that embed an activation as a point on a sphere."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn import _checks

POOLINGS = ("average", "flatten")
_EPSILON = 1e-5


@keras.utils.register_keras_serializable(package="kbnn")
class EmbeddingHead(keras.layers.Layer):
    r"""Pools or flattens activations, maps them linearly, and scales them to length 1.

    $$e = \frac{W^T p(a) + b}{\| W^T p(a) + b \|}$$

    It always computes in float32.

    Args:
        units: The size of the embedding.
        pooling: p. "average" takes the mean over all positions, for images of any size. "flatten"
            keeps the positions and needs images of a known size.
        normalize: Whether p(a) is batch-normalized, by the mean and the variance of the batch, with
            no trained scale and offset. Under a distribution strategy, each replica uses its own
            batch.
        is_trained: Whether W and b are trained. If not, they keep their random start.

    Input and output: `(batch, ..., channels)`, `(batch, units)`.

    Raises:
        ValueError: An argument is out of range, the number of channels is unknown, or "flatten"
            meets an activation of unknown size.

    Source: the embeddings of "Contrastive Representation Distillation" (Tian et al., 2020), which
    the CMIM code uses. The CMIM code does not train the heads. It has a trained batch normalization
    in front of each, which is part of the network.
    """

    _kernel_initializer = "glorot_uniform"

    def __init__(
        self,
        units: int = 128,
        pooling: str = "average",
        normalize: bool = False,
        is_trained: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.units = _checks.positive_int("units", units)
        self.pooling = _checks.one_of("pooling", pooling, POOLINGS)
        self.normalize, self.is_trained = bool(normalize), bool(is_trained)

    def build(self, input_shape: Any) -> None:
        features = input_shape[1:] if self.pooling == "flatten" else input_shape[-1:]
        if len(input_shape) < 2 or None in tuple(features):
            raise ValueError(
                "Expected activations (batch, ..., channels) with a known number of channels and, "
                'for pooling="flatten", a known height and width. Received: shape '
                f'{tuple(input_shape)}. For images of any size use pooling="average".'
            )
        size = tf.TensorShape(features).num_elements()
        # The weights, not the layer: `trainable` of a layer changes with that of its model.
        trained = {"trainable": self.is_trained}
        kernel = {"initializer": self._kernel_initializer, **trained}
        self.kernel = self.add_weight("kernel", (size, self.units), **kernel)
        self.bias = self.add_weight("bias", (self.units,), initializer="zeros", **trained)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        if self.pooling == "flatten":
            inputs = tf.reshape(inputs, (-1, self.kernel.shape[0]))
        elif inputs.shape.rank > 2:
            inputs = tf.reduce_mean(inputs, axis=list(range(1, inputs.shape.rank - 1)))
        if self.normalize:
            mean, variance = tf.nn.moments(inputs, axes=[0])
            inputs = (inputs - mean) * tf.math.rsqrt(variance + _EPSILON)
        return tf.math.l2_normalize(tf.matmul(inputs, self.kernel) + self.bias, axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "pooling": self.pooling,
            "normalize": self.normalize,
            "is_trained": self.is_trained,
        }


@keras.utils.register_keras_serializable(package="kbnn")
class MomentumHead(EmbeddingHead):
    r"""A head whose weights are a moving average of another head's weights.

    $$W_k \leftarrow m\, W_k + (1 - m)\, W$$

    They start at 0. An embedding has length 1, so the average needs no correction for its start.
    The arguments are those of `EmbeddingHead`; `is_trained` has to be False.

    Source: the key encoder of "Momentum Contrast" (He et al., 2020).
    """

    _kernel_initializer = "zeros"

    def follow(self, head: EmbeddingHead, momentum: float) -> None:
        """Move the weights towards those of a head."""
        for own, other in ((self.kernel, head.kernel), (self.bias, head.bias)):
            own.assign(momentum * own + (1 - momentum) * other)
