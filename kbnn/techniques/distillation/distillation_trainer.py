"""A network that learns from a separately trained one."""

from collections.abc import Collection, Mapping
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn import _checks
from kbnn.graph.nodes import nodes_of, tensors_taken
from kbnn.graph.output_activation import gives_probabilities, output_activation
from kbnn.graph.rewrite import check_rewritable
from kbnn.graph.roles import LayerRoles
from kbnn.techniques.latent_weights.terms import (
    Distillation,
    FeatureAlignment,
    LatentSupervision,
    RealPathLoss,
)
from kbnn.techniques.latent_weights.two_path_trainer import TwoPathTrainer, has_classes

# What a model that takes raw numbers begins with.
_SCALING = (keras.layers.Rescaling, keras.layers.Normalization)


class DistillationTrainer(TwoPathTrainer):
    r"""Trains a model under a teacher: a network that was trained before, and stays as it is.

    The loss is

    $$L = \mathrm{loss}(y, z) + \sum_i \lambda_i S_i$$

    with terms of supervision $S_i$ that compare outputs and features of the model with those of the
    teacher, by default their distillation. The teacher runs as in inference, gets no gradient, and
    is no part of the trainer's weights and checkpoints. What is trained, and ships, is the model,
    `trainer.model`: it is left as it is, and knows nothing of the teacher.

    Args:
        model: a built functional or Sequential model, without masks and without losses or metrics
            of its tensors; with binary layers or without.
        teacher: another one, for the same inputs and classes, with weights of its own. Give it
            trained: its accuracy is not looked at. Logits and probabilities may stand side by side.
            Under a distribution strategy it is to be made in the strategy's scope, as the model.
        supervision: terms, each a `kbnn.losses.LatentSupervision`; by default
            `kbnn.losses.Distillation(temperature=1)`, with weight 1. In `kbnn.losses.Paths`
            the model is the binary path, and the teacher the real one. There is no term for
            `kbnn.losses.RealPathLoss`: a teacher does not learn.
        teacher_layers: by the name of a layer of the model, that of the teacher's layer whose
            features belong to it; by default the one of the same name.
        indexed: as for `Trainer`.
        name: of the trainer.

    Attributes:
        teacher: the teacher.

    Its metrics are those of the model, and with "real_" in front those of the teacher.

    Raises:
        TypeError: a model that is subclassed, or of Keras 3; a term of another kind.
        ValueError: a model that is not built; masks, or losses or metrics of tensors in the one
            that is trained; a teacher with weights of the model, with other inputs or outputs, or
            that scales its inputs where the model does not, or the other way round; names that are
            none; features of other shapes to align; a term that does not fit the outputs.

    >>> import kbnn
    >>> teacher = kbnn.models.vgg_tiny(width=8, input_quantizer=None, kernel_quantizer=None)
    >>> teacher.compile("adam", "sparse_categorical_crossentropy")
    >>> teacher.fit(train, epochs=20)                                          # doctest: +SKIP
    >>> model = kbnn.models.vgg_tiny(width=8)
    >>> trainer = kbnn.trainers.DistillationTrainer(model, teacher)
    >>> trainer.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    >>> trainer.fit(train, epochs=20)                                          # doctest: +SKIP
    >>> kbnn.converters.convert(model, "model.tflite")                         # doctest: +SKIP

    Source: "Distilling the Knowledge in a Neural Network" (Hinton et al., 2015), whose sum has
    weights for both losses, where here that of the labels is 1. Feature alignment is kbnn's.
    """

    def __init__(
        self,
        model: keras.Model,
        teacher: keras.Model,
        supervision: Collection[LatentSupervision] | None = None,
        *,
        teacher_layers: Mapping[str, str] | None = None,
        with_index: bool = False,
        name: str | None = None,
    ) -> None:
        terms = [Distillation(temperature=1.0)] if supervision is None else supervision
        super().__init__(model, terms, with_index=with_index, name=name)
        for term in self.supervision:
            if isinstance(term, RealPathLoss):
                raise ValueError(
                    "Expected terms by which the model learns from its teacher, which is trained "
                    f"already. Received: {term.name!r}, the teacher's own loss"
                )
        _check_teacher(model, teacher)
        ours, theirs = self._features(teacher, teacher_layers or {})
        self._student = keras.Model(model.input, {"outputs": model.output, "features": ours})
        self._frozen = _Frozen(model, teacher, theirs)
        self._build_terms(self._student, self._frozen.paths)

    @property
    def teacher(self) -> keras.Model:
        return self._frozen.teacher

    @property
    def second_path(self) -> keras.Model:
        return self._frozen.outputs

    def paths(self, x: Any, training: bool = False) -> dict[str, Any]:
        # In this order, so that operations in the model get the random numbers of plain training.
        student = self._student(x, training=training)
        teacher = tf.nest.map_structure(tf.stop_gradient, self._frozen.paths(x, training=False))
        return {
            "binary": student["outputs"],
            "real": teacher["outputs"],
            "binary_features": student["features"],
            "real_features": teacher["features"],
        }

    def _features(
        self, teacher: keras.Model, teacher_layers: Mapping[str, str]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The features that the terms want, of the model and of the teacher, by layer name."""
        wanted = self.feature_layers
        unused = sorted(set(teacher_layers) - set(wanted))
        if unused:
            raise ValueError(
                "Expected `teacher_layers` to have names of layers whose features a term takes, "
                f"of {wanted}. Received: {', '.join(map(repr, unused))}"
            )
        names = {name: teacher_layers.get(name, name) for name in wanted}
        ours = {name: _output(self.model, name, "model") for name in names}
        theirs = {name: _output(teacher, other, "teacher") for name, other in names.items()}
        aligned = [term for term in self.supervision if isinstance(term, FeatureAlignment)]
        for name in (name for term in aligned for name in self._layers_of(term)):
            if not ours[name].shape.is_compatible_with(theirs[name].shape):
                raise ValueError(
                    f"Expected features of one shape. Received: {ours[name].shape} of {name!r} and "
                    f"{theirs[name].shape} of the teacher's {names[name]!r}. Give FeatureAlignment "
                    "the layers that have the same, or the teacher's as `teacher_layers`."
                )
        return ours, theirs


class _Frozen:
    """The teacher, where Keras does not take it for a part of the trainer, to train and to save.

    Attributes:
        teacher: as it was given.
        paths: from the model's inputs to {"outputs": in the form of the model's, "features": by the
            name of the model's layer}.
        outputs: from the model's inputs to the outputs.
    """

    def __init__(self, model: keras.Model, teacher: keras.Model, features: dict[str, Any]) -> None:
        self.teacher = teacher
        inner = keras.Model(teacher.input, {"outputs": teacher.output, "features": features})
        # On the model's own inputs, by whose names Keras finds what is in a batch.
        found = inner(tf.nest.pack_sequence_as(teacher.input, model.inputs))
        found["outputs"] = _in_the_form_of(model, teacher, found["outputs"])
        name = f"{teacher.name}_teacher"
        self.paths = keras.Model(model.input, found, name=name)
        self.outputs = keras.Model(model.input, found["outputs"], name=name)


def _in_the_form_of(model: keras.Model, teacher: keras.Model, outputs: Any) -> Any:
    """A teacher's outputs as probabilities or logits, whichever the model gives."""
    if not has_classes(model) or gives_probabilities(model) == gives_probabilities(teacher):
        return outputs
    if gives_probabilities(model):
        return keras.layers.Softmax(dtype="float32", name="probabilities")(outputs)
    return tf.math.log(tf.maximum(tf.cast(outputs, tf.float32), 1e-30))


def _check_teacher(model: keras.Model, teacher: Any) -> None:
    """Raise TypeError or ValueError unless a teacher fits a model."""
    _checks.keras2_model("teacher", teacher)
    check_rewritable(teacher, "teacher")
    shared = {id(weight) for weight in model.weights} & {id(weight) for weight in teacher.weights}
    if shared:
        raise ValueError(
            "Expected a teacher with weights of its own, which the training does not change. "
            f"Received: {len(shared)} that are the model's too. A network that teaches itself is a "
            "kbnn.trainers.LatentWeightTrainer."
        )
    if not _fits(model.inputs, teacher.inputs) or not all(
        one.dtype == other.dtype or (one.dtype.is_floating and other.dtype.is_floating)
        for one, other in zip(model.inputs, teacher.inputs, strict=True)
    ):
        raise ValueError(
            f"Expected a teacher for the model's inputs, {_described(model.inputs)}. "
            f"Received: one for {_described(teacher.inputs)}"
        )
    if not _fits(model.outputs, teacher.outputs):
        raise ValueError(
            f"Expected a teacher with the model's outputs, {_described(model.outputs)}. "
            f"Received: one with {_described(teacher.outputs)}"
        )
    is_classifier = has_classes(model)
    activations = [output_activation(one) or keras.activations.linear for one in (model, teacher)]
    if is_classifier != has_classes(teacher) or not (
        is_classifier or activations[0] == activations[1]
    ):
        raise ValueError(
            "Expected a model and a teacher that both give logits or probabilities of classes, or "
            "have the same activation at their end. Received: "
            + " and ".join(getattr(each, "__name__", str(each)) for each in activations)
        )
    takes_floats = any(tensor.dtype.is_floating for tensor in model.inputs)
    if takes_floats and _scales(model) != _scales(teacher):
        one, other = ("model", "teacher") if _scales(model) else ("teacher", "model")
        raise ValueError(
            f"Expected a teacher for the same numbers as the model. Received: a {one} that begins "
            f"with a Rescaling or Normalization, and a {other} that does not. Put that layer in "
            f"front of the {other}, or Rescaling(1.0) if it takes the same numbers as they are."
        )


def _fits(ours: list[Any], theirs: list[Any]) -> bool:
    """Whether tensors are as many, and of shapes that go together."""
    return len(ours) == len(theirs) and all(
        one.shape.is_compatible_with(other.shape) for one, other in zip(ours, theirs, strict=True)
    )


def _described(tensors: list[Any]) -> str:
    return ", ".join(f"{tensor.shape} {tensor.dtype.name}" for tensor in tensors)


def _scales(model: keras.Model) -> bool:
    """Whether an input of a model goes into a layer that scales it."""
    inputs = {id(tensor) for tensor in model.inputs}
    first = [
        node.layer
        for node in nodes_of(model)
        if not inputs.isdisjoint(map(id, tensors_taken(node)))
    ]
    return any(
        _scales(layer) if isinstance(layer, keras.Model) else isinstance(layer, _SCALING)
        for layer in first
    )


def _output(model: keras.Model, name: str, argument: str) -> Any:
    """The tensor that the layer of a name gives."""
    roles = LayerRoles(model)
    outputs = roles.outputs(name)
    if len(outputs) != 1:
        valid = [other for other in roles.names() if len(roles.outputs(other)) == 1]
        raise ValueError(
            f"Expected names of layers of the {argument}, not in a nested model, used once and "
            f"with one output: {', '.join(valid)}. Received: {name!r}"
        )
    return outputs[0]
