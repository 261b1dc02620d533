"""An input quantizer whose outputs are to tell of which inputs they come."""

from typing import Any

import larq as lq
import tensorflow as tf
import tf_keras as keras

from kbnn.graph import hooks
from kbnn.graph.clone import clone
from kbnn.graph.larq_quantizers import is_sign
from kbnn.techniques.contrastive.contrastive_term import ContrastiveTerm
from kbnn.techniques.contrastive.negatives import load_negatives


# Larq's loader of `.h5` files and its layers look quantizers up by these bare names.
@lq.utils.register_alias("contrastive_sign")
@lq.utils.register_alias("ContrastiveSign")
@keras.utils.register_keras_serializable(package="kbnn")
class ContrastiveSign(lq.quantizers.Quantizer):
    r"""Wraps an input quantizer, and adds the contrastive term of its inputs and outputs.

    Real-valued activations $a_F$ and binary ones $a_B$ of the same sample and pass are a positive
    pair, those of other samples the negatives:

    $$a_B = q(a_F), \qquad L = L_{task} + \lambda\, L_{contrast}(a_B, a_F)$$

    which maximises a lower bound of their mutual information (`kbnn.layers.ContrastiveTerm`).
    Outputs and gradients of q itself are as they were; outside of training there is nothing else.
    `kbnn.converters.freeze` leaves what q freezes to.

    Args:
        base: q, a Larq quantizer, its alias or its config; also a `SmoothSign`.
        **contrast: The arguments of `kbnn.layers.ContrastiveTerm`, with its defaults: `negatives`,
            `weight`, `temperature`, `embedding`, `pooling`.

    Attributes:
        base: q.
        contrast: the `kbnn.layers.ContrastiveTerm`.

    Input and output: activations, `(batch, ..., channels)`.

    Raises:
        ValueError: as `ContrastiveTerm`; a kernel, whose filters are no samples.
        TypeError: a base that is no quantizer, or an argument of another name.

    >>> import kbnn
    >>> model = kbnn.models.vgg_tiny(width=8)
    >>> model = kbnn.requantize(
    ...     model, input_quantizer=kbnn.quantizers.ContrastiveSign(), layers="last")

    `kbnn.techniques.with_contrast` puts it around the quantizers that a model has.

    Source: CMIM (docs/contrastive.md).
    """

    def __init__(self, base: Any = "ste_sign", **contrast: Any) -> None:
        of_layers = {
            name: contrast.pop(name) for name in ("name", "trainable", "dtype") if name in contrast
        }
        super().__init__(**of_layers)
        of_base = None if base is None else clone(base, f"{self.name}_base")
        if of_base is None or isinstance(of_base, ContrastiveSign):
            raise TypeError(
                "Expected `base` to be a quantizer without a contrastive term. "
                f"Received: base={base!r}"
            )
        self.base = of_base
        self.contrast = ContrastiveTerm(**contrast, name="contrast")
        self.precision = getattr(self.base, "precision", None)

    def build(self, input_shape: Any) -> None:
        if isinstance(self.base, keras.layers.Layer) and not self.base.built:
            with tf.name_scope(self.base.name):
                self.base.build(input_shape)
        if not self.contrast.built:
            with tf.name_scope(self.contrast.name):
                self.contrast.build([input_shape, input_shape])
        super().build(input_shape)

    @staticmethod
    def check_kernel(shape: Any) -> None:
        """Raise ValueError: a kernel has no samples that could be told apart."""
        raise ValueError(
            "Expected a ContrastiveSign as an input quantizer, or a layer: it compares samples. "
            f"Received: a kernel of shape {tuple(shape)}"
        )

    def call(self, inputs: tf.Tensor, training: Any = None) -> tf.Tensor:
        outputs = self.base(inputs)
        self.contrast([outputs, inputs], training=training)
        return outputs

    def add_no_loss(self) -> None:
        """Say that a call of a layer, which has it inside, does without it."""
        self.contrast.add_loss(tf.zeros([]))

    def frozen_quantizer(self) -> Any:
        """What takes its place in a frozen model: what takes that of its base."""
        frozen = hooks.frozen_quantizer(self.base)
        if frozen is not None:
            return clone(frozen, self.name)
        if not isinstance(self.base, keras.layers.Layer):
            return self.base
        if is_sign(self.base):
            return lq.quantizers.SteSign(name=self.name, dtype="float32")
        config = self.base.get_config()
        return type(self.base).from_config({**config, "name": self.name, "dtype": "float32"})

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "base": keras.utils.serialize_keras_object(self.base),
            **self.contrast.options(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ContrastiveSign":
        return cls(**load_negatives(config))
