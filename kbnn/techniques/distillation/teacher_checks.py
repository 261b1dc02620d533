"""Checks that a teacher fits the model that learns from it."""

from typing import Any

import tf_keras as keras

from kbnn import _checks
from kbnn.graph.nodes import nodes_of, tensors_taken
from kbnn.graph.output_activation import output_activation
from kbnn.graph.rewrite import check_rewritable
from kbnn.techniques.latent_weights.class_outputs import has_classes

# The layers that a model which takes raw numbers starts with.
_SCALING = (keras.layers.Rescaling, keras.layers.Normalization)


def check_teacher(model: keras.Model, teacher: Any) -> None:
    """Raise TypeError or ValueError unless a teacher fits a model.

    It needs its own weights, the inputs and outputs of the model, and scaling layers for its inputs
    exactly if the model has them.
    """
    _checks.keras2_model("teacher", teacher)
    check_rewritable(teacher, "teacher")
    shared = {id(weight) for weight in model.weights} & {id(weight) for weight in teacher.weights}
    if shared:
        raise ValueError(
            "Expected a teacher that shares no weights with the model, because training changes "
            f"them. Received: {len(shared)} shared weights. For a network that teaches itself, use "
            "a kbnn.trainers.LatentWeightTrainer."
        )
    if not _have_compatible_shapes(model.inputs, teacher.inputs) or not all(
        one.dtype == other.dtype or (one.dtype.is_floating and other.dtype.is_floating)
        for one, other in zip(model.inputs, teacher.inputs, strict=True)
    ):
        raise ValueError(
            f"Expected a teacher for the model's inputs, {_describe(model.inputs)}. "
            f"Received: a teacher for {_describe(teacher.inputs)}"
        )
    if not _have_compatible_shapes(model.outputs, teacher.outputs):
        raise ValueError(
            f"Expected a teacher with the model's outputs, {_describe(model.outputs)}. "
            f"Received: a teacher with {_describe(teacher.outputs)}"
        )
    is_classifier = has_classes(model)
    activations = [output_activation(one) or keras.activations.linear for one in (model, teacher)]
    if is_classifier != has_classes(teacher) or not (
        is_classifier or activations[0] == activations[1]
    ):
        raise ValueError(
            "Expected a model and a teacher that both return logits or probabilities of classes, "
            "or that end with the same activation. Received: "
            + " and ".join(getattr(each, "__name__", str(each)) for each in activations)
        )
    takes_floats = any(tensor.dtype.is_floating for tensor in model.inputs)
    if takes_floats and _scales_inputs(model) != _scales_inputs(teacher):
        one, other = ("model", "teacher") if _scales_inputs(model) else ("teacher", "model")
        raise ValueError(
            f"Expected a teacher for inputs on the scale of the model's. Received: a {one} that "
            f"starts with a Rescaling or Normalization, and a {other} that does not. Put that "
            f"layer in front of the {other}, or Rescaling(1.0) if both take the same numbers."
        )


def _have_compatible_shapes(ours: list[Any], theirs: list[Any]) -> bool:
    """Return whether two lists have as many tensors, in compatible shapes."""
    return len(ours) == len(theirs) and all(
        one.shape.is_compatible_with(other.shape) for one, other in zip(ours, theirs, strict=True)
    )


def _describe(tensors: list[Any]) -> str:
    return ", ".join(f"{tensor.shape} {tensor.dtype.name}" for tensor in tensors)


def _scales_inputs(model: keras.Model) -> bool:
    """Return whether a layer that scales takes an input of the model."""
    inputs = {id(tensor) for tensor in model.inputs}
    first = [
        node.layer
        for node in nodes_of(model)
        if not inputs.isdisjoint(map(id, tensors_taken(node)))
    ]
    return any(
        _scales_inputs(layer) if isinstance(layer, keras.Model) else isinstance(layer, _SCALING)
        for layer in first
    )
