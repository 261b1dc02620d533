"""A model whose binary activations are trained to tell of their real-valued sources."""

import numbers
from typing import Any

import tf_keras as keras

from kbnn.graph.clone import clone
from kbnn.graph.larq_quantizers import (
    check_kernels,
    copy_quantizer_weights,
    quantizers_of,
    weights_without_quantizers,
)
from kbnn.graph.layer_choice import (
    LayerChoice,
    choose_layers,
    input_quantizer_place,
    last_input_layer,
)
from kbnn.graph.layers import layers_of
from kbnn.graph.rewrite import Replacement, check_rewritable, rewrite
from kbnn.techniques.contrastive.contrastive_sign import ContrastiveSign
from kbnn.techniques.contrastive.contrastive_term import DEFAULT_WEIGHT, ContrastiveTerm

DEFAULT_DECAY = 0.5
"""How much less a tap weighs than the next one, where several have no other decay."""


def with_contrast(
    model: keras.Model,
    layers: LayerChoice = "last",
    *,
    decay: float | None = None,
    weight: float = DEFAULT_WEIGHT,
    name: str | None = None,
    **contrast: Any,
) -> keras.Model:
    r"""Copy a model, with the contrastive term at one or several of its binary activations.

    A `kbnn.quantizers.ContrastiveSign` takes the place of each tapped layer's input quantizer, with
    that quantizer and its state inside. Of K taps, in order of use, tap k counted from 0 has the
    weight $\lambda \beta^{K-1-k}$: the last one has the whole.

    Args:
        model: a built functional or Sequential model with quantized inputs.
        layers: where the taps are. "last": at the input of the last layer with a binary kernel.
            "all": wherever inputs are quantized. Names of layers, those of
            `kbnn.techniques.contrastable_layers(model)`; or a function from a layer to bool. A
            layer that has no quantizer itself, because a `BinaryBatchNormalization` before it gives
            the signs, stands for that one in "last".
        decay: beta, above 0 and at most 1, of several taps; 0.5 by default.
        weight: lambda, as `kbnn.layers.ContrastiveTerm` takes it.
        name: name of the new model; the old one's by default.
        **contrast: the other arguments of `kbnn.layers.ContrastiveTerm`.

    Returns:
        A new model with the same layer names, not compiled. The given one is left as it is.

    Raises:
        TypeError: the model is subclassed or belongs to Keras 3.
        ValueError: no quantized input, or none that `layers` chooses; a name of another layer; a
            tap that has a contrastive term already; `decay` without several taps; as
            `ContrastiveTerm`.

    >>> import kbnn
    >>> model = kbnn.techniques.with_contrast(kbnn.models.vgg_tiny(width=8), layers="all")
    >>> [model.get_layer(f"conv_{i}").input_quantizer.contrast.weight for i in (1, 2, 3)]
    [0.025, 0.05, 0.1]

    Source: CMIM (docs/contrastive.md): the last layer, as its code has it; several with a weight
    that grows towards the end, as the paper says. How it grows is kbnn's.
    """
    check_rewritable(model)
    check_kernels(model)
    taps = _choose(model, layers)
    weights = _weights(len(taps), weight, decay, contrast)
    by_layer = dict(zip(map(id, taps), weights, strict=True))

    def replace(layer: keras.layers.Layer) -> Any:
        if id(layer) not in by_layer:
            return None
        return _tapped(layer, {"weight": by_layer[id(layer)], **contrast})

    return rewrite(model, replace, name=name)


def contrastable_layers(model: keras.Model) -> list[str]:
    """The names of the layers at whose quantized inputs `with_contrast` can put a term.

    >>> import kbnn
    >>> kbnn.techniques.contrastable_layers(kbnn.models.vgg_tiny(width=8))
    ['conv_1', 'conv_2', 'conv_3']
    """
    return list(dict.fromkeys(layer.name for layer in _quantized_layers(model)))


def _quantized_layers(model: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in layers_of(model) if input_quantizer_place(layer) is not None]


def _choose(model: keras.Model, layers: LayerChoice) -> list[keras.layers.Layer]:
    quantized = _quantized_layers(model)
    chosen = choose_layers(layers, quantized=quantized, last=last_input_layer(model))
    if not chosen:
        raise ValueError(
            "Expected a model with a quantized input that `layers` chooses. "
            f"Received: model={model.name!r}, layers={layers!r}"
        )
    for layer in chosen:
        place = input_quantizer_place(layer)
        if isinstance(getattr(layer, place) if place else layer, ContrastiveSign):
            raise ValueError(
                "Expected quantizers without a contrastive term. "
                f"Received: layer {layer.name!r}, whose quantizer has one"
            )
    return chosen


def _weights(
    count: int, weight: float, decay: float | None, contrast: dict[str, Any]
) -> list[float]:
    """The weights of taps, in order of use."""
    if decay is not None:
        if count == 1:
            raise ValueError(f"Expected `decay` with several taps. Received: decay={decay}, 1 tap")
        is_number = isinstance(decay, numbers.Real) and not isinstance(decay, bool)
        if not is_number or not 0 < decay <= 1:
            raise ValueError(
                f"Expected `decay` to be above 0 and at most 1. Received: decay={decay!r}"
            )
    beta = DEFAULT_DECAY if decay is None else decay
    whole = ContrastiveTerm(weight=weight, **contrast).weight
    return [whole * beta ** (count - 1 - k) for k in range(count)]


def _tapped(layer: keras.layers.Layer, contrast: dict[str, Any]) -> Replacement:
    """A layer with the term at its quantizer."""
    argument = input_quantizer_place(layer)
    before = getattr(layer, argument) if argument else layer
    name = layer.name if not argument else getattr(before, "name", f"{layer.name}_{argument}")
    term = ContrastiveSign(clone(before, f"{name}_base"), **contrast, name=name)
    if not argument:
        return Replacement(term, lambda new: _carry_base(before, new))
    new = type(layer).from_config({**layer.get_config(), argument: term})

    def give_weights(copy: keras.layers.Layer) -> None:
        for weight, value in zip(
            weights_without_quantizers(copy), weights_without_quantizers(layer), strict=True
        ):
            weight.assign(value)
        copy_quantizer_weights(layer, copy, quantizers_of(layer).keys() - {argument})
        _carry_base(before, getattr(copy, argument))

    return Replacement(new, give_weights)


def _carry_base(before: Any, term: ContrastiveSign) -> None:
    if isinstance(before, keras.layers.Layer):
        term.base.set_weights(before.get_weights())
