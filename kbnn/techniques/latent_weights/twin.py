"""The real-valued twin of a binary network: the same latent weights, nothing quantized."""

import functools
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import larq as lq
import tensorflow as tf
import tf_keras as keras

from kbnn import _checks
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
    LatentLayer,
    activation_of,
    rescale_to_mean_abs,
)
from kbnn.techniques.reactnet.learned_shift import LearnedShift
from kbnn.techniques.reactnet.rprelu import RPReLU
from kbnn.techniques.self_binarizing.binary_batch_normalization import BinaryBatchNormalization

# Scales and statistics of one path's numbers: the other one has its own, new.
_NORMALIZATIONS = (
    *(keras.layers.BatchNormalization, keras.layers.experimental.SyncBatchNormalization),
    *(keras.layers.LayerNormalization, keras.layers.GroupNormalization),
)
# Each path has its own, which begin with the same numbers.
_OF_A_PATH = (keras.layers.PReLU, LearnedShift, RPReLU)


class RealTwin(NamedTuple):
    """The two paths of a model.

    Attributes:
        binary: from the model's inputs to {"outputs": those of the model, "features": {layer name:
            its output}, "frontier": what the real-valued path begins with}.
        real: from the frontier to {"outputs": of the twin, "features": as above}.
        twin: from the model's inputs to the outputs of the twin.
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
    """Build the twin, which takes over where the model's layers that both use end.

    What stands before the first binary layer is run once for both, if "stem" is shared.

    Args:
        model: a built functional or Sequential model with binary layers.
        activation: in place of input quantizers and of layers that are signs.
        share: of `ROLES`; those real-valued layers have the model's weights, the others copies.
        features: names of layers whose outputs are wanted.
        balance_gradient: whether the twin's gradients of quantized kernels are those of kernels
            of the size of signs.
        replace: gives the twin of a layer; None for the usual one.

    Raises:
        ValueError: no binary layer; a layer with weights that the twin does not know; a name that
            is none of a layer with one output; losses or metrics of tensors; masks.
    """
    if not any(map(is_binary, layers_of(model))):
        raise ValueError(
            "Expected a model with layers of quantized kernels or inputs. "
            f"Received: model={model.name!r} without one"
        )
    roles = LayerRoles(model)
    found = {name: roles.output(name) for name in features}
    shared_stem = "stem" in share
    frontier = roles.frontier(shared_stem)
    for tensor in frontier:
        if not tensor.shape.rank:
            raise ValueError(
                "Expected tensors with a batch where the two paths part. Received: a scalar of "
                f'{layer_of(tensor).name!r}. Give `share` without "stem".'
            )
    inputs = {
        id(tensor): keras.Input(
            batch_size=tensor.shape[0], shape=tensor.shape[1:], dtype=tensor.dtype, name=f"in_{i}"
        )
        for i, tensor in enumerate(frontier)
    }
    read = rescale_to_mean_abs if balance_gradient else tf.identity
    twins = _Twins(activation_of(activation), share, roles, read, replace)
    tensors = dict(inputs)

    def apply(node: Any, *arguments: Any, **options: Any) -> Any:
        if shared_stem and roles.role(node) == "stem":
            return substitute_tensors(node.outputs, inputs)
        return twins(node.layer)(*arguments, **options)

    replay(model, tensors, apply)
    twins.copy_weights()
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


class _Twins:
    """The twins of layers, one for each."""

    def __init__(
        self,
        activation: Callable[[Any], tf.Tensor],
        share: Collection[str],
        roles: LayerRoles,
        read: Callable[[tf.Tensor], tf.Tensor],
        replace: Callable[[keras.layers.Layer], keras.layers.Layer | None] | None,
    ) -> None:
        self._activation = activation
        self._share = share
        self._roles = roles.roles()
        self._read = read
        self._replace = replace
        self._twins: dict[int, Callable] = {}
        self._copies: list[tuple[keras.layers.Layer, keras.layers.Layer]] = []

    def __call__(self, layer: keras.layers.Layer) -> Callable:
        if id(layer) not in self._twins:
            self._twins[id(layer)] = self._new(layer)
        return self._twins[id(layer)]

    def copy_weights(self) -> None:
        """Give the copies, which are built now, the weights of the originals."""
        for layer, copy in self._copies:
            copy.set_weights(layer.get_weights())
            if isinstance(copy, keras.layers.Normalization):
                copy.finalize_state()

    def _new(self, layer: keras.layers.Layer) -> Callable:
        name = f"{layer.name}_real"
        if isinstance(layer, keras.Model):
            return copy_graph(layer, self, name)
        own = None if self._replace is None else self._replace(layer)
        if own is not None:
            _checks.keras2_layer("replace(layer)", own)
            if id(own) in self._roles:
                raise ValueError(
                    "Expected `replace` to return new layers. "
                    f"Received: the model's layer {own.name!r}"
                )
            return own
        if isinstance(layer, BinaryBatchNormalization):
            return self._normalization_then_activation(layer, name)
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
            if is_binary(layer) and isinstance(layer, (lq.layers_base.BaseLayer, *SHAREABLE)):
                return latent(kernels, read=dict.fromkeys(kernel_quantizers(layer), self._read))
            if isinstance(layer, SHAREABLE) and is_shared:
                return latent({*kernels, "bias"})
        # Its weights are the twin's own, and trained even where the model's are frozen.
        copy = from_config(layer, {**layer.get_config(), "name": name, "trainable": True})
        if isinstance(layer, _NORMALIZATIONS):
            return copy
        if not layer.weights and not is_binary(layer):
            return copy
        is_separate = isinstance(layer, SHAREABLE) and not (is_shared or is_binary(layer))
        if not (is_separate or isinstance(layer, (*_OF_A_PATH, keras.layers.Normalization))):
            raise ValueError(
                "Expected layers that a real-valued twin is known of: Larq's, convolutions, dense "
                "layers, normalizations and PReLU, with no weights but theirs, and all without "
                "weights. "
                f"Received: {layer.name!r}, a {type(layer).__name__}. "
                "Give its twin as `replace=lambda layer: ...`, a new layer for this one and None "
                "for the others."
            )
        self._copies.append((layer, copy))
        return copy

    def _normalization_then_activation(
        self, layer: BinaryBatchNormalization, name: str
    ) -> Callable:
        config = {**layer.get_config(), "name": name}
        del config["activation"]
        normalization = keras.layers.BatchNormalization.from_config({**config, "trainable": True})
        activation = keras.layers.Activation(
            self._activation, name=f"{name}_activation", dtype=layer.dtype_policy
        )
        return lambda *arguments, **options: activation(normalization(*arguments, **options))


def check_trainable(model: keras.Model) -> None:
    """Raise TypeError or ValueError for a model whose graph cannot be run beside another one."""
    check_rewritable(model)
    added = [
        layer for layer in layers_of(model) if type(layer).__name__ in ("AddLoss", "AddMetric")
    ]
    if added:
        raise ValueError(
            "Expected a model without losses or metrics of its tensors. "
            f"Received: model={model.name!r} with add_loss or add_metric. Put them into a layer."
        )
    for layer in layers_of(model):
        if any(map(has_mask, outputs_of(layer))):
            raise ValueError(
                f"Expected a model without masks. Received: a mask from {layer.name!r}"
            )
