"""Adds contrastive terms to a model."""

from typing import Any

import tf_keras as keras

from kbnn import _checks
from kbnn.graph.clone import clone
from kbnn.graph.larq_quantizers import (
    check_kernels,
    copy_quantizer_weights,
    quantizers_of,
    weights_without_quantizers,
)
from kbnn.graph.layer_choice import LayerChoice, input_quantizer_place
from kbnn.graph.layers import from_config
from kbnn.graph.rewrite import Replacement, check_rewritable, rewrite
from kbnn.techniques.contrastive.contrastable_layers import select_layers
from kbnn.techniques.contrastive.contrastive_sign import ContrastiveSign
from kbnn.techniques.contrastive.contrastive_term import DEFAULT_WEIGHT, ContrastiveTerm

DEFAULT_DECAY = 0.5
"""The weight of a layer's term divided by the weight of the next one."""


def with_contrast(
    model: keras.Model,
    layers: LayerChoice = "last",
    *,
    decay: float | None = None,
    weight: float = DEFAULT_WEIGHT,
    name: str | None = None,
    **contrast: Any,
) -> keras.Model:
    r"""Copy a model and add contrastive terms at its binary activations.

    $$L = L_{task} + \lambda \sum_{k=0}^{K-1} \beta^{K-1-k} L_{contrast}^k$$

    for K layers in order of use, so that the last layer has the full weight. In each of them a
    `kbnn.quantizers.ContrastiveSign` wraps the input quantizer, with its state.

    Args:
        model: A built functional or Sequential model with quantized inputs.
        layers: The layers that get a term. "last": the last layer with a binary kernel, at its
            input. If a layer before it provides the signs, such as a `BinaryBatchNormalization`,
            that layer gets the term. "all": all layers with quantized inputs. Names from
            `kbnn.techniques.contrastable_layers(model)`, or a function from a layer to bool.
        decay: beta, above 0 and at most 1, only for several layers; 0.5 by default.
        weight: lambda.
        name: The name of the new model. By default it is the old name.
        **contrast: The other arguments of `kbnn.layers.ContrastiveTerm`: `negatives`,
            `temperature`, `embedding`, `pooling`, `train_heads`, `normalize`.

    Returns:
        A new model with the same layer names, not compiled. The given model does not change.

    Raises:
        TypeError: The model is subclassed or belongs to Keras 3.
        ValueError: `layers` selects no layer, names a layer without a quantized input, or selects
            one that has a term. `decay` is given for one layer. As `ContrastiveTerm`.

    Example:
        >>> import kbnn
        >>> model = kbnn.techniques.with_contrast(kbnn.models.vgg_tiny(width=8), layers="all")
        >>> [model.get_layer(f"conv_{i}").input_quantizer.contrast.weight for i in (1, 2, 3)]
        [0.025, 0.05, 0.1]

    Source: CMIM (kbnn/techniques/contrastive/README.md). Its code has one term, at the last layer;
    the paper sums over layers with a weight that grows towards the end. The form of the growth is
    kbnn's.
    """
    check_rewritable(model)
    check_kernels(model)
    selected = select_layers(model, layers)
    weights = _layer_weights(len(selected), weight, decay, contrast)
    weight_by_id = dict(zip(map(id, selected), weights, strict=True))

    def replace(layer: keras.layers.Layer) -> Any:
        if id(layer) not in weight_by_id:
            return None
        return _add_term(layer, {"weight": weight_by_id[id(layer)], **contrast})

    return rewrite(model, replace, name=name)


def _layer_weights(
    count: int, weight: float, decay: float | None, contrast: dict[str, Any]
) -> list[float]:
    """Return the weights of the terms, in order of use."""
    if decay is not None:
        if count == 1:
            raise ValueError(
                f"Expected `decay` only for several layers. Received: decay={decay}, 1 layer"
            )
        _checks.number("decay", decay, above=0, most=1)
    beta = DEFAULT_DECAY if decay is None else decay
    last = ContrastiveTerm(weight=weight, **contrast).weight
    return [last * beta ** (count - 1 - k) for k in range(count)]


def _add_term(layer: keras.layers.Layer, contrast: dict[str, Any]) -> Replacement:
    """Return the replacement of a layer whose quantizer gets a term."""
    argument = input_quantizer_place(layer)
    base = getattr(layer, argument) if argument else layer
    name = layer.name if not argument else getattr(base, "name", f"{layer.name}_{argument}")
    sign = ContrastiveSign(clone(base, f"{name}_base"), **contrast, name=name)
    if not argument:
        return Replacement(sign, lambda new: _copy_base_weights(base, new))
    new = from_config(layer, {**layer.get_config(), argument: sign})

    def copy_weights(copy: keras.layers.Layer) -> None:
        for weight, value in zip(
            weights_without_quantizers(copy), weights_without_quantizers(layer), strict=True
        ):
            weight.assign(value)
        copy_quantizer_weights(layer, copy, quantizers_of(layer).keys() - {argument})
        _copy_base_weights(base, getattr(copy, argument))

    return Replacement(new, copy_weights)


def _copy_base_weights(base: Any, sign: ContrastiveSign) -> None:
    if isinstance(base, keras.layers.Layer):
        sign.base.set_weights(base.get_weights())
