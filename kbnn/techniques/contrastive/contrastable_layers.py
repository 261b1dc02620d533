"""The layers of a model at which a contrastive term can be, and the choice among them."""

import tf_keras as keras

from kbnn.graph.layer_choice import (
    LayerChoice,
    choose_layers,
    input_quantizer_place,
    last_input_layer,
)
from kbnn.graph.layers import layers_of
from kbnn.techniques.contrastive.contrastive_sign import ContrastiveSign


def contrastable_layers(model: keras.Model) -> list[str]:
    """Return the names of the layers at whose quantized inputs `with_contrast` can put a term.

    Example:
        >>> import kbnn
        >>> kbnn.techniques.contrastable_layers(kbnn.models.vgg_tiny(width=8))
        ['conv_1', 'conv_2', 'conv_3']
    """
    return list(dict.fromkeys(layer.name for layer in _quantized_layers(model)))


def select_layers(model: keras.Model, layers: LayerChoice) -> list[keras.layers.Layer]:
    """Return the layers that the argument `layers` of `with_contrast` selects, in order of use.

    Raises:
        ValueError: It selects no layer, names another one, or selects one that has a term.
    """
    selected = choose_layers(
        layers, quantized=_quantized_layers(model), last=last_input_layer(model)
    )
    if not selected:
        raise ValueError(
            "Expected a model with a quantized input that `layers` selects. "
            f"Received: model={model.name!r}, layers={layers!r}"
        )
    for layer in selected:
        place = input_quantizer_place(layer)
        if isinstance(getattr(layer, place) if place else layer, ContrastiveSign):
            raise ValueError(
                "Expected quantizers without a contrastive term. "
                f"Received: layer {layer.name!r}, whose quantizer has one"
            )
    return selected


def _quantized_layers(model: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in layers_of(model) if input_quantizer_place(layer) is not None]
