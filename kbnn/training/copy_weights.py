"""Copies the weights of a trained model to a model that was built with other settings."""

from collections.abc import Collection

import tf_keras as keras

from kbnn.graph.larq_quantizers import (
    KERNEL_QUANTIZERS,
    carry_learned_signs,
    copy_quantizer_weights,
    quantizers_of,
    weights_without_quantizers,
)
from kbnn.graph.layers import layers_of


def copy_weights(
    trained: keras.Model,
    model: keras.Model,
    *,
    same_quantizers: Collection[str],
    same_layers: bool = True,
) -> None:
    """Copy the weights of a trained model to a model with layers of the same names.

    Quantizers that stay keep their state, and new ones start with their own. Learned signs stay, as
    in `kbnn.requantize`.

    Args:
        trained: The trained model. It is left as it is.
        model: A built model, whose weights change.
        same_quantizers: Those of "input_quantizer" and "kernel_quantizer" that both models have.
        same_layers: Whether all layers with weights have to be in both models. Otherwise further
            layers of `model` keep their initial weights, and further layers of `trained` are
            ignored.

    Raises:
        ValueError: A layer with weights is in one of the models only, or has weights of other names
            or shapes in the other one. Then no weight has changed.
    """
    before = {layer.name: layer for layer in layers_of(trained)}
    after = {layer.name: layer for layer in layers_of(model)}
    unmatched = [
        name
        for one, other in ((before, after), (after, before))
        for name, layer in one.items()
        if name not in other and weights_without_quantizers(layer)
    ]
    if same_layers and unmatched:
        raise ValueError(
            "Expected a trained network with the layers that its settings describe. Received: "
            f"{', '.join(unmatched)} in one of the two only. An earlier version of kbnn may have "
            "trained it."
        )
    pairs = [(before[name], layer) for name, layer in after.items() if name in before]
    for old, new in pairs:
        if _weight_shapes(old) != _weight_shapes(new):
            raise ValueError(
                f"Expected layer {new.name!r} of the trained network to have the weights "
                f"{_weight_shapes(new)}. Received: {_weight_shapes(old)}"
            )
    for old, new in pairs:
        _copy_layer(old, new, same_quantizers)


def _copy_layer(
    old: keras.layers.Layer, new: keras.layers.Layer, same_quantizers: Collection[str]
) -> None:
    for weight, trained in zip(
        weights_without_quantizers(new), weights_without_quantizers(old), strict=True
    ):
        weight.assign(trained)
    for argument in quantizers_of(old):
        is_kernel = argument in KERNEL_QUANTIZERS
        if ("kernel_quantizer" if is_kernel else "input_quantizer") in same_quantizers:
            # The input quantizer may have moved to another layer.
            copy_quantizer_weights(old, new, {argument} & quantizers_of(new).keys())
        elif is_kernel:
            carry_learned_signs(old, new, argument)


def _weight_shapes(layer: keras.layers.Layer) -> list[tuple[str, tuple[int, ...]]]:
    return [
        (weight.name.split("/")[-1].split(":")[0], tuple(weight.shape))
        for weight in weights_without_quantizers(layer)
    ]
