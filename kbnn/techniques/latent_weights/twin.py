"""The real-valued twin of a binary network: the same latent weights, nothing quantized."""

import functools
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras as keras

from kbnn import _checks
from kbnn._larq import BaseLayer
from kbnn.graph.larq_quantizers import (
    KERNEL_QUANTIZERS,
    is_binary,
    is_quantizer,
    kernel_quantizers,
    weights_without_quantizers,
)
from kbnn.graph.layers import from_config, layers_of, weights_by_name
from kbnn.graph.nodes import has_mask, layer_of, outputs_of
from kbnn.graph.replay import copy_graph, replay, substitute_tensors
from kbnn.graph.rewrite import check_rewritable
from kbnn.graph.roles import SHAREABLE, LayerRoles
from kbnn.techniques.latent_weights.latent_layer import (
    Activation,
    LatentLayer,
    get_activation,
    rescale_to_mean_abs,
)
from kbnn.techniques.reactnet.learned_shift import LearnedShift
from kbnn.techniques.reactnet.rprelu import RPReLU
from kbnn.techniques.self_binarizing.binary_batch_normalization import BinaryBatchNormalization

# Their scales and statistics belong to one path; the other path has new ones.
_NORMALIZATIONS = (
    *(keras.layers.BatchNormalization, keras.layers.experimental.SyncBatchNormalization),
    *(keras.layers.LayerNormalization, keras.layers.GroupNormalization),
)
# Each path has its own, which start with the same values.
_COPIED = (keras.layers.PReLU, LearnedShift, RPReLU)


class RealTwin(NamedTuple):
    """The two paths of a model.

    Attributes:
        binary: A model from the inputs to {"outputs": the outputs, "features": {layer name:
            output}, "frontier": the inputs of the real-valued path}.
        real: A model from the frontier to {"outputs": the twin's outputs, "features": as above}.
        twin: A model from the inputs to the twin's outputs.
    """

    binary: keras.Model
    real: keras.Model
    twin: keras.Model


def real_twin(
    model: keras.Model,
    *,
    activation: Any,
    share: Collection[str],
    features: Collection[str],
    balance_gradient: bool = False,
    replace: Callable[[keras.layers.Layer], keras.layers.Layer | None] | None = None,
) -> RealTwin:
    """Build the real-valued twin of a binary model.

    If "stem" is shared, the layers before the first binary one run once for both paths.

    Args:
        model: A built functional or Sequential model with binary layers.
        activation: The activation in place of input quantizers and of sign layers.
        share: The `ROLES` whose real-valued layers both paths use. The others are copied.
        features: Names of layers whose outputs the caller needs.
        balance_gradient: Whether to multiply the twin's gradients of quantized kernels by their
            mean absolute value.
        replace: A function that returns the twin of a layer, or None for the usual twin.

    Raises:
        ValueError: The model has no binary layer, or a layer whose twin is unknown. A name in
            `features` is not a layer with one output.
    """
    if not any(map(is_binary, layers_of(model))):
        raise ValueError(
            "Expected a model with quantized kernels or inputs. "
            f"Received: model={model.name!r} without one"
        )
    roles = LayerRoles(model)
    found = {name: roles.output(name) for name in features}
    shared_stem = "stem" in share
    frontier = roles.frontier(shared_stem)
    for tensor in frontier:
        if not tensor.shape.rank:
            raise ValueError(
                "Expected tensors with a batch dimension where the two paths part. Received: a "
                f'scalar from {layer_of(tensor).name!r}. Pass `share` without "stem".'
            )
    inputs = {
        id(tensor): keras.Input(
            batch_size=tensor.shape[0], shape=tensor.shape[1:], dtype=tensor.dtype, name=f"in_{i}"
        )
        for i, tensor in enumerate(frontier)
    }
    transform = rescale_to_mean_abs if balance_gradient else tf.identity
    builder = _TwinBuilder(get_activation(activation), share, roles, transform, replace)
    tensors = dict(inputs)

    def apply(node: Any, *arguments: Any, **options: Any) -> Any:
        if shared_stem and roles.role(node) == "stem":
            return substitute_tensors(node.outputs, inputs)
        return builder(node.layer)(*arguments, **options)

    replay(model, tensors, apply)
    builder.copy_weights()
    binary = keras.Model(
        model.input,
        {"outputs": model.output, "features": found, "frontier": frontier},
        name=f"{model.name}_binary",
    )
    real = keras.Model(
        list(inputs.values()),
        {
            "outputs": substitute_tensors(model.output, tensors),
            "features": substitute_tensors(found, tensors),
        },
        name=f"{model.name}_real",
    )
    twin = keras.Model(model.input, real(frontier)["outputs"], name=f"{model.name}_twin")
    return RealTwin(binary, real, twin)


class _TwinBuilder:
    """Makes the twin of each layer, once."""

    def __init__(
        self,
        activation: Activation,
        share: Collection[str],
        roles: LayerRoles,
        transform: Callable[[tf.Tensor], tf.Tensor],
        replace: Callable[[keras.layers.Layer], keras.layers.Layer | None] | None,
    ) -> None:
        self._activation = activation
        self._share = share
        self._roles = roles.roles()
        self._transform = transform
        self._replace = replace
        self._twins: dict[int, Callable] = {}
        self._copies: list[tuple[keras.layers.Layer, keras.layers.Layer]] = []

    def __call__(self, layer: keras.layers.Layer) -> Callable:
        if id(layer) not in self._twins:
            self._twins[id(layer)] = self._make_twin(layer)
        return self._twins[id(layer)]

    def copy_weights(self) -> None:
        """Copy the weights of the originals to the copies, after these are built."""
        for layer, copy in self._copies:
            copy.set_weights(layer.get_weights())
            if isinstance(copy, keras.layers.Normalization):
                copy.finalize_state()

    def _make_twin(self, layer: keras.layers.Layer) -> Callable:
        name = f"{layer.name}_real"
        if isinstance(layer, keras.Model):
            return copy_graph(layer, self, name)
        own = None if self._replace is None else self._replace(layer)
        if own is not None:
            _checks.keras2_layer("replace(layer)", own)
            if id(own) in self._roles:
                raise ValueError(
                    "Expected `replace` to return a new layer. "
                    f"Received: the model's layer {own.name!r}"
                )
            return own
        if isinstance(layer, BinaryBatchNormalization):
            return self._split_normalization(layer, name)
        if is_quantizer(layer) or (
            isinstance(layer, keras.layers.Activation) and is_quantizer(layer.activation)
        ):
            return keras.layers.Activation(self._activation, name=name, dtype=layer.dtype_policy)
        kernels = set(KERNEL_QUANTIZERS.values())
        is_shared = self._roles[id(layer)] in self._share
        names = weights_by_name(layer)
        if set(names) <= {*kernels, "bias"} and len(names) == len(
            weights_without_quantizers(layer)
        ):
            latent = functools.partial(LatentLayer, layer, activation=self._activation, name=name)
            if is_binary(layer) and isinstance(layer, (BaseLayer, *SHAREABLE)):
                transforms = dict.fromkeys(kernel_quantizers(layer), self._transform)
                return latent(kernels, transforms=transforms)
            if isinstance(layer, SHAREABLE) and is_shared:
                return latent({*kernels, "bias"})
        # The twin trains its own weights, even where the model's are frozen.
        copy = from_config(layer, {**layer.get_config(), "name": name, "trainable": True})
        if isinstance(layer, _NORMALIZATIONS):
            return copy
        if not layer.weights and not is_binary(layer):
            return copy
        is_separate = isinstance(layer, SHAREABLE) and not (is_shared or is_binary(layer))
        if not (is_separate or isinstance(layer, (*_COPIED, keras.layers.Normalization))):
            raise ValueError(
                f"Cannot build a real-valued twin of layer {layer.name!r} "
                f"({type(layer).__name__}). Supported: layers of Larq, convolutions, dense layers, "
                "normalizations and PReLU without further weights, and layers without weights. "
                "Pass `replace=`, a function that returns a new layer for this layer and None for "
                "others."
            )
        self._copies.append((layer, copy))
        return copy

    def _split_normalization(self, layer: BinaryBatchNormalization, name: str) -> Callable:
        """Return batch normalization and an activation as the twin of both in one layer."""
        config = {**layer.get_config(), "name": name}
        del config["activation"]
        normalization = keras.layers.BatchNormalization.from_config({**config, "trainable": True})
        activation = keras.layers.Activation(
            self._activation, name=f"{name}_activation", dtype=layer.dtype_policy
        )
        return lambda *arguments, **options: activation(normalization(*arguments, **options))


def check_trainable(model: keras.Model) -> None:
    """Raise TypeError or ValueError unless the graph of a model can run with a second path."""
    check_rewritable(model)
    added = [
        layer for layer in layers_of(model) if type(layer).__name__ in ("AddLoss", "AddMetric")
    ]
    if added:
        raise ValueError(
            "Expected a model without losses or metrics of its tensors. Received: "
            f"model={model.name!r} with add_loss or add_metric. Call them inside of a layer."
        )
    for layer in layers_of(model):
        if any(map(has_mask, outputs_of(layer))):
            raise ValueError(
                f"Expected a model without masks. Received: a mask from {layer.name!r}"
            )
