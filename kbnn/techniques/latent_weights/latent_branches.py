"""A binary network whose binary layers also compute with their latent weights."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn._larq import BaseLayer, MagnitudeAwareSign, NoOp
from kbnn.graph.larq_quantizers import has_binary_kernel, kernel_quantizers
from kbnn.graph.layers import layers_of, weights_by_name
from kbnn.graph.replay import copy_graph
from kbnn.techniques.latent_weights.latent_layer import (
    Activation,
    LatentLayer,
    rescale_to_mean_abs,
)
from kbnn.techniques.latent_weights.twin import check_trainable
from kbnn.techniques.self_binarizing.smooth_sign import SmoothSign

Combine = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def add_latent_branches(
    model: keras.Model,
    combine: Combine,
    activation: Activation,
    *,
    transform_bias: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
) -> keras.Model:
    """Return a model that adds a branch of latent weights to each binary layer.

    The new model uses the weights and statistics of the given one.

    Args:
        model: A built functional or Sequential model with quantized kernels.
        combine: A function of two outputs of a binary layer, the binary one and the one with
            real-valued activations and rescaled latent kernels. Returns the output to use.
        activation: The function that replaces input quantizers in the latent branch.
        transform_bias: A function of a bias that the latent branch uses in its place.

    Raises:
        ValueError: The model has no quantized kernel, has one in a layer that is not Larq's, or has
            masks or losses or metrics of its tensors.
    """
    check_trainable(model)
    if not any(map(has_binary_kernel, layers_of(model))):
        raise ValueError(
            f"Expected a model with quantized kernels. Received: model={model.name!r} without one"
        )
    new_layers: dict[int, keras.layers.Layer] = {}

    def new_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
        if id(layer) not in new_layers:
            name = f"{layer.name}_latent"
            if isinstance(layer, keras.Model):
                new_layers[id(layer)] = copy_graph(layer, new_layer, name)
            elif any(map(has_binary_kernel, [layer, *_inner_layers(layer)])):
                if not isinstance(layer, BaseLayer):
                    raise ValueError(
                        "Expected layers of Larq where kernels are quantized. "
                        f"Received: {layer.name!r}, a {type(layer).__name__}"
                    )
                new_layers[id(layer)] = LatentBranch(
                    layer, combine, activation, transform_bias, name
                )
            else:
                new_layers[id(layer)] = _LayerReference(layer, name=name)
        return new_layers[id(layer)]

    new_model = copy_graph(model, new_layer, f"{model.name}_latent")
    known = {id(weight) for weight in model.weights}
    for layer in new_layers.values():
        new_weights = [weight.name for weight in layer.weights if id(weight) not in known]
        if new_weights:
            raise ValueError(
                "Expected binary layers that create all their weights in `build`, each with "
                f"another name. Received: {layer.name.removesuffix('_latent')!r} with "
                f"{', '.join(new_weights)}"
            )
    return new_model


def _inner_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    return [inner for inner in layer.submodules if isinstance(inner, keras.layers.Layer)]


def _rescale_as_quantized(quantizer: Any, kernel: tf.Tensor) -> tf.Tensor:
    """Rescale a kernel to the mean absolute value that it has when it is quantized."""
    if isinstance(quantizer, MagnitudeAwareSign | NoOp):
        return rescale_to_mean_abs(kernel)
    if isinstance(quantizer, SmoothSign):
        return rescale_to_mean_abs(
            kernel, tf.reduce_mean(tf.abs(tf.cast(quantizer(kernel), tf.float32)))
        )
    return rescale_to_mean_abs(kernel, 1.0)


class _LayerReference(keras.layers.Layer):
    """Calls a layer of another model; a direct call would add a node to that layer's graph."""

    def __init__(self, layer: keras.layers.Layer, **options: Any) -> None:
        super().__init__(dtype=layer.dtype_policy, autocast=False, **options)
        self.layer = layer

    def call(self, inputs: Any, *arguments: Any, **options: Any) -> Any:
        return self.layer(inputs, *arguments, **options)


class LatentBranch(_LayerReference):
    """Combines the output of a binary layer with the output of its latent weights.

    Args:
        layer: A binary layer of Larq.
        combine, activation, transform_bias: As for `add_latent_branches`.
        name: The name of this layer.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        combine: Combine,
        activation: Activation,
        transform_bias: Callable[[tf.Tensor], tf.Tensor],
        name: str,
    ) -> None:
        super().__init__(layer, name=name)
        transforms: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {"bias": transform_bias}
        for kernel, quantizer in kernel_quantizers(layer).items():
            transforms[kernel] = functools.partial(_rescale_as_quantized, quantizer)
        shared = weights_by_name(layer)
        self._latent = LatentLayer(layer, shared, activation, transforms, name=f"{name}_real")
        self._combine = combine

    def call(self, inputs: Any) -> tf.Tensor:
        return self._combine(self.layer(inputs), self._latent(inputs))
