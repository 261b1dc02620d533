"""Copies a trained model with other quantizers."""

from collections.abc import Collection
from typing import Any

import tf_keras as keras

from kbnn._larq import Quantizer, WeightClip
from kbnn.graph import hooks
from kbnn.graph.clone import clone
from kbnn.graph.larq_quantizers import (
    KERNEL_QUANTIZERS,
    carry_learned_signs,
    copy_quantizer_weights,
    is_quantizer,
    is_sign,
    quantizers_of,
)
from kbnn.graph.layer_choice import (
    LayerChoice,
    choose_layers,
    last_input_layer,
    last_kernel_layer,
)
from kbnn.graph.layers import from_config, layers_of
from kbnn.graph.nodes import producers
from kbnn.graph.precision import with_dtype
from kbnn.graph.rewrite import REMOVE, check_rewritable, rewrite


class _Keep:
    """The type of `KEEP`."""

    def __repr__(self) -> str:
        return "KEEP"


KEEP = _Keep()


def requantize(
    model: keras.Model,
    *,
    kernel_quantizer: Any = KEEP,
    input_quantizer: Any = KEEP,
    layers: LayerChoice = "all",
    name: str | None = None,
) -> keras.Model:
    """Copy a model, its weights included, with other quantizers.

    Use it to add a technique to an already trained network, including Larq Zoo models.

    A quantizer that stays keeps its state; a new quantizer starts with its own. Where a
    `LearnedSign` is replaced, its learned signs stay: another `LearnedSign` of the same form
    (`mapping`, `start`, `residual_scale`) takes over the mapping, and for any other quantizer the
    predictions of the mapping become the latent weights.

    A real-valued kernel without a constraint gets Larq's `WeightClip` with its first quantizer, as
    in the builders of `kbnn.models`: the straight-through estimators give no gradient to weights
    beyond -1 and 1, where they would stay for good. The values do not change here. The clip cuts
    those beyond -1 and 1 in the first update of the weights. A kernel that has a constraint keeps
    it.

    Args:
        model: a built functional or Sequential model of Larq layers, with or without nested models.
        kernel_quantizer: for the kernels, depthwise, pointwise and recurrent kernels included: a
            Larq quantizer, its alias, or None for real-valued kernels. Each layer gets a clone. By
            default the quantizers of the kernels stay.
        input_quantizer: the same for the inputs. A quantizer that is a layer itself, or the
            activation of a layer, counts as the input quantizer of the next layer.
        layers: the layers that change. "all": every layer that has such a quantizer now. "last":
            the last layer with a kernel quantizer, and the layer that quantizes the input of the
            last binary layer. Names of layers, also of nested ones and of Larq layers that have no
            quantizer yet. Or a function from a layer to bool.
        name: name of the new model; by default the old one.

    Returns:
        A new functional model with the same layer names, not compiled. The given model does not
        change. The optimizer's state, and losses from `model.add_loss`, are not copied.

    Raises:
        TypeError: the model is subclassed or belongs to Keras 3, or a given quantizer is not a
            quantizer.
        ValueError: no quantizer is given; the model is not built; `layers` names a layer that does
            not exist or takes no such quantizer, or chooses no layer; or a quantizer cannot
            quantize the kernel of a layer.

    Example:
        >>> import kbnn
        >>> model = kbnn.models.vgg_tiny(width=8)
        >>> smooth = kbnn.requantize(model, input_quantizer="approx_sign", layers=["conv_2"])
        >>> type(smooth.get_layer("conv_2").input_quantizer).__name__
        'ApproxSign'
    """
    if kernel_quantizer is KEEP and input_quantizer is KEEP:
        raise ValueError(
            "Expected `kernel_quantizer` or `input_quantizer`, or both. Received: neither"
        )
    check_rewritable(model)
    given = {"kernel": kernel_quantizer, "input": input_quantizer}
    given = {kind: quantizer for kind, quantizer in given.items() if quantizer is not KEEP}
    for kind, quantizer in given.items():
        clone(quantizer, f"{kind}_quantizer")  # raises before any work
    changes_by_id = _changes_by_layer(model, layers, given)
    replaced: list[tuple[keras.layers.Layer, keras.layers.Layer]] = []

    def replace(layer: keras.layers.Layer) -> Any:
        changes = changes_by_id.get(id(layer))
        if changes is None:
            return None
        if isinstance(layer, Quantizer):
            new_sign = _clone_for(layer, given["input"], layer.name)
            return REMOVE if new_sign is None else _as_layer(new_sign, layer.name)
        _check_comparison(layer, changes, given)
        new_quantizers = {
            argument: _clone_for(layer, given[kind], f"{layer.name}_{argument}")
            for argument, kind in changes.items()
        }
        _check_kernels(layer, new_quantizers)
        changed = {**new_quantizers, **_clips(layer, new_quantizers)}
        new = from_config(layer, {**layer.get_config(), **changed})
        replaced.append((layer, new))
        return new

    copy = rewrite(model, replace, name=name)
    for old, new in replaced:
        changed = changes_by_id[id(old)].keys()
        copy_quantizer_weights(old, new, quantizers_of(old).keys() - changed)
        for argument in quantizers_of(old).keys() & KERNEL_QUANTIZERS.keys() & changed:
            carry_learned_signs(old, new, argument)
    return copy


def _clone_for(layer: keras.layers.Layer, quantizer: Any, name: str) -> Any:
    """Return a layer's own instance of a quantizer, which computes in the layer's precision."""
    own = clone(quantizer, name)
    if not isinstance(own, keras.layers.Layer):
        return own
    return from_config(own, with_dtype(own.get_config(), layer.dtype_policy.name))


def _clips(layer: keras.layers.Layer, new_quantizers: dict[str, Any]) -> dict[str, Any]:
    """Return a clip, by its argument, for each kernel that was real-valued and without bounds."""
    found = {}
    for argument in new_quantizers.keys() & KERNEL_QUANTIZERS.keys():
        constraint = argument.replace("quantizer", "constraint")
        was_real = getattr(layer, argument) is None and new_quantizers[argument] is not None
        if was_real and getattr(layer, constraint, None) is None:
            found[constraint] = WeightClip()
    return found


# The arguments of a layer that change, each with the kind of quantizer that it gets.
_Changes = dict[str, str]


def _changes_by_layer(
    model: keras.Model, layers: LayerChoice, kinds: Collection[str]
) -> dict[int, _Changes]:
    """Return the changes of each layer that changes, by the id of the layer."""
    found = layers_of(model)
    last = {"kernel": last_kernel_layer, "input": last_input_layer}
    only_present = layers in ("all", "last") if isinstance(layers, str) else False
    changes_by_id: dict[int, _Changes] = {}
    for kind in kinds:
        chosen = choose_layers(
            layers,
            quantized=[layer for layer in found if _changes(layer, [kind], only_present=True)],
            last=last[kind](model),
            possible=[layer for layer in found if _changes(layer, kinds)],
        )
        changes = {id(one): _changes(one, [kind], only_present=only_present) for one in chosen}
        if not any(changes.values()):
            raise ValueError(
                f"Expected a model with a layer that has a {kind}_quantizer and that `layers` "
                f"chooses. Received: model={model.name!r}, layers={layers!r}"
            )
        for number, changes_of_layer in changes.items():
            if changes_of_layer:
                changes_by_id.setdefault(number, {}).update(changes_of_layer)
    return changes_by_id


def _changes(
    layer: keras.layers.Layer, kinds: Collection[str], *, only_present: bool = False
) -> _Changes:
    """Return what can change in a layer; with `only_present`, where it has a quantizer now."""
    places = {**dict.fromkeys(KERNEL_QUANTIZERS, "kernel"), "input_quantizer": "input"}
    changes = {
        argument: kind
        for argument, kind in places.items()
        if kind in kinds
        and hasattr(layer, argument)
        and not (only_present and getattr(layer, argument) is None)
    }
    is_sign_itself = isinstance(layer, Quantizer)
    if "input" in kinds and (is_sign_itself or is_quantizer(getattr(layer, "activation", None))):
        changes["activation"] = "input"
    return changes


def _check_comparison(layer: keras.layers.Layer, changes: _Changes, given: dict[str, Any]) -> None:
    """Raise ValueError if a layer that needs a sign would lose it, or its signs get another."""
    if hooks.requires_sign(layer):
        if not is_sign(clone(given["input"], "input_quantizer")):
            raise ValueError(
                f"Expected a sign for {layer.name!r} ({type(layer).__name__}), which compares with "
                "thresholds at inference. "
                f"Received: input_quantizer={given['input']!r}"
            )
    elif "input_quantizer" in changes:
        before = list(filter(hooks.requires_sign, producers(layer)))
        if before:
            raise ValueError(
                f"Expected `layers` to name {before[0].name!r}, which gives the signs that "
                f"{layer.name!r} takes. Received: {layer.name!r}"
            )


def _check_kernels(layer: keras.layers.Layer, changes: dict[str, Any]) -> None:
    """Raise ValueError, with the layer's name, if a quantizer refuses the layer's kernel."""
    for argument, kernel in KERNEL_QUANTIZERS.items():
        if argument not in changes:
            continue
        try:
            hooks.check_kernel(changes[argument], getattr(layer, kernel).shape)
        except ValueError as error:
            raise ValueError(
                f"{error}, of layer {layer.name!r}. Choose other layers with `layers`."
            ) from error


def _as_layer(quantizer: Any, name: str) -> keras.layers.Layer:
    if isinstance(quantizer, keras.layers.Layer):
        return quantizer
    return keras.layers.Activation(quantizer, name=name)
