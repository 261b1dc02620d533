"""The same network under other quantizers: how a technique piles up on a trained model."""

from collections.abc import Callable, Collection
from typing import Any, Literal

import larq as lq
import tf_keras as keras

from kbnn.graph import hooks
from kbnn.graph.clone import clone
from kbnn.graph.larq_quantizers import (
    KERNEL_QUANTIZERS,
    copy_quantizer_weights,
    is_quantizer,
    is_sign,
    latent_kernel,
    quantizers_of,
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

Layers = Literal["last"] | Collection[str] | Callable[[keras.layers.Layer], bool] | None


def requantize(
    model: keras.Model,
    *,
    kernel_quantizer: Any = KEEP,
    input_quantizer: Any = KEEP,
    layers: Layers = None,
    name: str | None = None,
) -> keras.Model:
    """Copy a model, with the same weights, under other quantizers.

    Args:
        model: a built functional or Sequential model of Larq layers, nested ones included; its own
            builder does not matter.
        kernel_quantizer: for the kernels (depthwise, pointwise and recurrent ones too): a Larq
            quantizer, an alias, or None for real-valued kernels. Each layer gets a clone. By
            default the kernels' quantizers stay.
        input_quantizer: the same for the inputs. A quantizer that is a layer of its own in the
            model, or an activation, quantizes the inputs of what follows and counts as one.
        layers: which layers. By default all that have such a quantizer now. "last": of each of the
            two the last that there is; names of layers, which may also be Larq layers without a
            quantizer as yet (a name means every layer of that name, those of nested models
            included); or a function from a layer to bool.
        name: name of the new model; the old one's by default.

    Returns:
        A new model with the same layer names. It is not compiled: the state of the old model's
        optimizer and losses of `model.add_loss` are not carried over. A Sequential model becomes a
        functional one. The given model is left as it is. A quantizer that stays keeps its state, a
        new one begins with its own. In place of a `LearnedSign`, one whose mapping has the same
        form (`mapping`, `start`, `residual_scale`) goes on with it; for others what the mapping
        predicts takes the place of the latent weights, so that their signs are still those of the
        network.

    Raises:
        TypeError: the model is subclassed or belongs to Keras 3; a quantizer is none.
        ValueError: no quantizer is given; the model is not built; `layers` names a layer that the
            model has not or that takes no such quantizer, or leaves none; a kernel that the
            quantizer does not take.

    >>> import kbnn
    >>> model = kbnn.models.vgg_tiny(width=8)
    >>> smooth = kbnn.requantize(model, input_quantizer="approx_sign", layers=["conv_2"])
    >>> [smooth.get_layer(f"conv_{i}").input_quantizer.name for i in (1, 2)]
    ['conv_1_input_quantizer', 'conv_2_input_quantizer']
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
    chosen = _chosen(model, layers, given)
    replaced: list[tuple[keras.layers.Layer, keras.layers.Layer]] = []

    def replace(layer: keras.layers.Layer) -> Any:
        if id(layer) not in chosen:
            return None
        if isinstance(layer, lq.quantizers.Quantizer):
            alone = _clone(given["input"], layer, layer.name)
            return REMOVE if alone is None else _as_layer(alone, layer.name)
        _check_comparison(layer, chosen[id(layer)], given)
        changes = {
            argument: _clone(given[kind], layer, f"{layer.name}_{argument}")
            for argument, kind in chosen[id(layer)].items()
        }
        _check_kernels(layer, changes)
        new = type(layer).from_config({**layer.get_config(), **changes})
        replaced.append((layer, new))
        return new

    copy = rewrite(model, replace, name=name)
    for old, new in replaced:
        changed = chosen[id(old)].keys()
        copy_quantizer_weights(old, new, quantizers_of(old).keys() - changed)
        for argument in quantizers_of(old).keys() & KERNEL_QUANTIZERS.keys() & changed:
            _carry_signs(old, new, argument)
    return copy


def _clone(quantizer: Any, layer: keras.layers.Layer, name: str) -> Any:
    """A layer's own instance of a quantizer, that computes in the layer's precision."""
    own = clone(quantizer, name)
    if not isinstance(own, keras.layers.Layer):
        return own
    return from_config(own, with_dtype(own.get_config(), layer.dtype_policy.name))


def _carry_signs(old: keras.layers.Layer, new: keras.layers.Layer, argument: str) -> None:
    """Where a kernel's signs were learned, have them go on under another quantizer."""
    kernel = getattr(new, KERNEL_QUANTIZERS[argument])
    hooks.carry_signs(
        quantizers_of(old)[argument],
        quantizers_of(new).get(argument),
        latent_kernel(old, argument),
        getattr(kernel, "latent_variable", kernel),
    )


# The arguments of a layer that are to change, and which of the two quantizers each one gets.
_Changes = dict[str, str]


def _chosen(model: keras.Model, layers: Layers, given: Collection[str]) -> dict[int, _Changes]:
    """For each layer that is to change, by id, its changes."""
    found = layers_of(model)
    if layers is None:
        chosen = [(layer, _changes(layer, given, present=True)) for layer in found]
    elif layers == "last":
        chosen = [last for kind in given for last in _last(found, kind)]
    elif callable(layers):
        chosen = [(layer, _changes(layer, given)) for layer in found if layers(layer)]
    else:
        _check_names(layers, {layer.name: layer for layer in found}, given)
        chosen = [(layer, _changes(layer, given)) for layer in found if layer.name in layers]
    changes_by_id: dict[int, _Changes] = {}
    for layer, changes in chosen:
        if changes:
            changes_by_id.setdefault(id(layer), {}).update(changes)
    used = {kind for changes in changes_by_id.values() for kind in changes.values()}
    for kind in given:
        if kind not in used:
            raise ValueError(
                f"Expected a model with a layer that has a {kind}_quantizer and that `layers` "
                f"chooses. Received: model={model.name!r}, layers={layers!r}"
            )
    return changes_by_id


def _last(layers: list[keras.layers.Layer], kind: str) -> list[tuple[keras.layers.Layer, _Changes]]:
    """The last layer that has a quantizer of a kind now; none if there is none."""
    present = [(layer, _changes(layer, [kind], present=True)) for layer in layers]
    return [(layer, changes) for layer, changes in present if changes][-1:]


def _changes(
    layer: keras.layers.Layer, given: Collection[str], *, present: bool = False
) -> _Changes:
    """What can change about a layer; with `present`, where a quantizer stands now."""
    kinds = {argument: "kernel" for argument in KERNEL_QUANTIZERS}
    kinds["input_quantizer"] = "input"
    changes = {
        argument: kind
        for argument, kind in kinds.items()
        if kind in given
        and hasattr(layer, argument)
        and not (present and getattr(layer, argument) is None)
    }
    stands_alone = isinstance(layer, lq.quantizers.Quantizer)
    if "input" in given and (stands_alone or is_quantizer(getattr(layer, "activation", None))):
        changes["activation"] = "input"
    return changes


def _check_comparison(layer: keras.layers.Layer, changes: _Changes, given: dict[str, Any]) -> None:
    """Raise ValueError where a binary batch normalization would lose its sign, or get a second."""
    if hooks.requires_sign(layer):
        if not is_sign(clone(given["input"], "input_quantizer")):
            raise ValueError(
                f"Expected a sign for {layer.name!r} ({type(layer).__name__}), which compares. "
                f"Received: input_quantizer={given['input']!r}"
            )
    elif "input_quantizer" in changes:
        before = list(filter(hooks.requires_sign, producers(layer)))
        if before:
            raise ValueError(
                f"Expected `layers` to name {before[0].name!r}, whose signs {layer.name!r} takes. "
                f"Received: {layer.name!r}"
            )


def _check_kernels(layer: keras.layers.Layer, changes: dict[str, Any]) -> None:
    """Raise ValueError, with the layer's name, for a quantizer that does not take its kernel."""
    for argument, kernel in KERNEL_QUANTIZERS.items():
        if argument not in changes:
            continue
        try:
            hooks.check_kernel(changes[argument], getattr(layer, kernel).shape)
        except ValueError as error:
            raise ValueError(
                f"{error}, of layer {layer.name!r}. Leave it out by `layers`."
            ) from error


def _check_names(
    names: Collection[str], layers: dict[str, keras.layers.Layer], given: Collection[str]
) -> None:
    if isinstance(names, str):
        raise ValueError(
            'Expected `layers` to be "last", a list of names, a function or None. '
            f"Received: layers={names!r}"
        )
    valid = [name for name, layer in layers.items() if _changes(layer, given)]
    unknown = sorted(set(names) - set(valid))
    if unknown:
        raise ValueError(
            f"Expected `layers` to name layers that take such a quantizer: {', '.join(valid)}. "
            f"Received: {', '.join(map(repr, unknown))}"
        )


def _as_layer(quantizer: Any, name: str) -> keras.layers.Layer:
    if isinstance(quantizer, keras.layers.Layer):
        return quantizer
    return keras.layers.Activation(quantizer, name=name)
