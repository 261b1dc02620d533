"""The smooth signs of a model: by what they quantize, and by the layer that they belong to."""

import tf_keras as keras

from kbnn.graph.calls import Call, calls_of
from kbnn.graph.hooks import base_quantizer
from kbnn.graph.larq_quantizers import KERNEL_QUANTIZERS, quantizers_of
from kbnn.graph.nodes import has_graph
from kbnn.techniques.self_binarizing.smooth_sign import SmoothSign

KINDS = ("all", "kernel", "input")


def smooth_signs_of(model: keras.Model, kind: str) -> list[SmoothSign]:
    """Return the smooth signs of a model and of its nested models.

    Args:
        model: a built model, or a trainer.
        kind: "all", "kernel" (quantizers of kernels only) or "input" (all others).

    Raises:
        ValueError: one `SmoothSign` quantizes both kernels and inputs, and `kind` is not "all".
    """
    found = [module for module in model.submodules if isinstance(module, SmoothSign)]
    if kind == "all":
        return found
    roles: dict[int, set[str]] = {}
    for layer in model.submodules:
        if isinstance(layer, keras.layers.Layer):
            for argument, quantizer in quantizers_of(layer).items():
                role = "kernel" if argument in KERNEL_QUANTIZERS else "input"
                roles.setdefault(id(quantizer), set()).add(role)
    for one in found:
        if len(roles.get(id(one), ())) > 1:
            raise ValueError(
                "Expected different SmoothSign objects for kernels and inputs. Received: "
                f"{one.name!r} for both. Copy it with kbnn.quantizers.clone(quantizer, name)."
            )
    return [one for one in found if roles.get(id(one), {"input"}) == {kind}]


def smooth_signs_by_layer(model: keras.Model) -> list[list[SmoothSign]]:
    """Group the smooth signs of a model by the layer whose kernel or inputs they quantize.

    A layer that applies a smooth sign to what it returns, such as a `BinaryBatchNormalization`,
    quantizes the inputs of the next layer that has a kernel.

    Args:
        model: a built functional or Sequential model.

    Returns:
        The groups, in the order in which the model uses their layers.

    Raises:
        ValueError: the model is subclassed, or several layers share a `SmoothSign`.
    """
    if not has_graph(model):
        raise ValueError(
            'Expected a functional or Sequential model with order="layer_by_layer". '
            f"Received: {model.name!r}, a subclassed model, whose layers have no known order"
        )
    calls = calls_of(model)
    places: dict[int, int] = {}
    for place, call in enumerate(calls):
        places.setdefault(id(call.layer), place)
    holders: dict[int, keras.layers.Layer] = {}
    groups: dict[int, list[SmoothSign]] = {}
    for call in calls:
        of_outputs = _smooth_sign_of_outputs(call.layer)
        for sign in _smooth_signs_in(call.layer):
            holder = holders.setdefault(id(sign), call.layer)
            if holder is not call.layer:
                raise ValueError(
                    'Expected a SmoothSign for each layer with order="layer_by_layer". Received: '
                    f"{sign.name!r} in {holder.name!r} and {call.layer.name!r}. Copy it with "
                    "kbnn.quantizers.clone(quantizer, name)."
                )
            own = places[id(call.layer)]
            if call is not calls[own]:
                continue  # a later use of the same layer
            following = _places_of_next_kernels(call, places) if sign is of_outputs else set()
            groups.setdefault(min(following, default=own), []).append(sign)
    return [groups[place] for place in sorted(groups)]


def _smooth_signs_in(layer: keras.layers.Layer) -> list[SmoothSign]:
    return [module for module in (layer, *layer.submodules) if isinstance(module, SmoothSign)]


def _smooth_sign_of_outputs(layer: keras.layers.Layer) -> SmoothSign | None:
    """Return the smooth sign that a layer applies to what it returns, or that the layer is."""
    quantizer = base_quantizer(quantizers_of(layer).get("activation", layer))
    return quantizer if isinstance(quantizer, SmoothSign) else None


def _places_of_next_kernels(call: Call, places: dict[int, int]) -> set[int]:
    """Return the places of the layers with a kernel that take what a call gives."""
    found: set[int] = set()
    pending, seen = list(call.users), set()
    while pending:
        user = pending.pop()
        if id(user) in seen:
            continue
        seen.add(id(user))
        if _has_kernel(user.layer):
            found.add(places[id(user.layer)])
        else:
            pending.extend(user.users)
    return found


def _has_kernel(layer: keras.layers.Layer) -> bool:
    return any(
        getattr(module, kernel, None) is not None
        for module in (layer, *layer.submodules)
        for kernel in KERNEL_QUANTIZERS.values()
    )
