"""Binary layers whose gradients are also those of their latent weights."""

import math
import numbers
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn.training.latent_path import activation_of
from kbnn.training.mixed_network import MixedLayer, mixed_network
from kbnn.training.trainer import Trainer


class LatentGradientModel(Trainer):
    r"""Trains a binary network with the gradients of its real-valued self added to its own.

    In training, a binary layer with inputs x and latent kernel W gives

    $$\mathrm{conv}(\mathrm{sign}(x), \mathrm{sign}(W)) + \lambda r - \mathrm{sg}(\lambda r), \qquad
      r = \mathrm{conv}(h(x), W)$$

    whose value is that of the binary layer, exactly, and whose gradient is that of both terms.

    Args:
        model: as for `LatentWeightModel`.
        weight: lambda.
        activation: h, as for `LatentWeightModel`.
        indexed: as for `Trainer`.
        name: of the trainer.

    Raises:
        TypeError: the model is subclassed, or of Keras 3.
        ValueError: a model that is not built or has no binary layer; a weight out of range.

    >>> import kbnn
    >>> trainer = kbnn.training.LatentGradientModel(kbnn.models.vgg_tiny(width=8))

    Source: kbnn's, as for `LatentMixtureModel`.
    """

    def __init__(
        self,
        model: keras.Model,
        weight: float = 1.0,
        *,
        activation: Any = "hard_tanh",
        indexed: bool = False,
        name: str | None = None,
    ) -> None:
        is_number = isinstance(weight, numbers.Real) and math.isfinite(weight)
        if not is_number or weight < 0:
            raise ValueError(f"Expected `weight` from 0 on. Received: weight={weight!r}")
        super().__init__(model, indexed=indexed, name=name)
        self._weight: float = float(weight)
        self._mixed: keras.Model = mixed_network(model, self._cancel, activation_of(activation))

    def forward(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Mapping[str, tf.Tensor]]:
        return self._mixed(x, training=True), {}

    def _cancel(self, binary: tf.Tensor, real: tf.Tensor, layer: MixedLayer) -> tf.Tensor:
        real *= tf.cast(self._weight, real.dtype)
        return binary + (real - tf.stop_gradient(real))
