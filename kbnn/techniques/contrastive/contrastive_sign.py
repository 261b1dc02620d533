"""An input quantizer that adds the contrastive term of its inputs and outputs."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn._larq import Quantizer, SteSign, register_alias
from kbnn.graph import hooks
from kbnn.graph.clone import clone
from kbnn.graph.larq_quantizers import is_sign
from kbnn.techniques.contrastive.contrastive_term import ContrastiveTerm
from kbnn.techniques.contrastive.negatives import load_negatives


# Larq's loader of `.h5` files and its layers look quantizers up by these bare names.
@register_alias("contrastive_sign")
@register_alias("ContrastiveSign")
@keras.utils.register_keras_serializable(package="kbnn")
class ContrastiveSign(Quantizer):
    r"""Wraps an input quantizer and adds the contrastive term of its inputs and outputs.

    $$a_B = q(a_F), \qquad L = L_{task} + \lambda\, L_{contrast}(a_B, a_F)$$

    The real-valued activations $a_F$ and the binary activations $a_B$ of the same sample and pass
    are a positive pair; other samples provide the negatives. This maximises a lower bound of their
    mutual information. Outputs and gradients of q are unchanged, and outside of training q is all
    that there is. `kbnn.converters.freeze` replaces the wrapper by what q freezes to.

    Args:
        base: q: a Larq quantizer, its alias or its config, or a `SmoothSign`.
        **contrast: The arguments of `kbnn.layers.ContrastiveTerm`, with its defaults: `negatives`,
            `weight`, `temperature`, `embedding`, `pooling`, `train_heads`, `normalize`.

    Attributes:
        base: q.
        contrast: The `kbnn.layers.ContrastiveTerm`.

    Call arguments:
        inputs: Activations, `(batch, ..., channels)`.
        training: Whether to add the term.

    Returns:
        q of the inputs.

    Raises:
        ValueError: As `ContrastiveTerm`. Trainers, `kbnn.requantize`, `kbnn.converters.freeze` and
            the models of `kbnn.models` also raise it for a kernel, whose filters are not samples.
        TypeError: `base` is not a quantizer, or an argument is unknown.

    Example:
        >>> import kbnn
        >>> model = kbnn.models.vgg_tiny(width=8)
        >>> model = kbnn.requantize(
        ...     model, input_quantizer=kbnn.quantizers.ContrastiveSign(), layers="last")

    `kbnn.techniques.with_contrast` wraps the quantizers that a model has.

    Source: CMIM (kbnn/techniques/contrastive/README.md).
    """

    def __init__(self, base: Any = "ste_sign", **contrast: Any) -> None:
        layer_options = {
            name: contrast.pop(name) for name in ("name", "trainable", "dtype") if name in contrast
        }
        super().__init__(**layer_options)
        quantizer = None if base is None else clone(base, f"{self.name}_base")
        if quantizer is None or isinstance(quantizer, ContrastiveSign):
            raise TypeError(
                "Expected `base` to be a quantizer without a contrastive term. "
                f"Received: base={base!r}"
            )
        self.base = quantizer
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
        """Raise ValueError: the filters of a kernel are not samples to compare."""
        raise ValueError(
            "Expected a ContrastiveSign as an input quantizer or as a layer, because it compares "
            f"samples. Received: a kernel of shape {tuple(shape)}"
        )

    def call(self, inputs: tf.Tensor, training: Any = None) -> tf.Tensor:
        outputs = self.base(inputs)
        self.contrast([outputs, inputs], training=training)
        return outputs

    def add_no_loss(self) -> None:
        """Add 0 to the losses, for a layer that has a ContrastiveSign and skips it in a call."""
        self.contrast.add_loss(tf.zeros([]))

    def frozen_quantizer(self) -> Any:
        """Return what replaces the quantizer in a frozen model: what its base freezes to."""
        frozen = hooks.frozen_quantizer(self.base)
        if frozen is not None:
            return clone(frozen, self.name)
        if not isinstance(self.base, keras.layers.Layer):
            return self.base
        if is_sign(self.base):
            return SteSign(name=self.name, dtype="float32")
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
