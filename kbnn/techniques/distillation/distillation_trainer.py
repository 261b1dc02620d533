"""A trainer whose second path is a separately trained teacher."""

from collections.abc import Collection, Mapping
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn.graph.output_activation import gives_probabilities
from kbnn.graph.roles import LayerRoles
from kbnn.techniques.distillation.teacher_checks import check_teacher
from kbnn.techniques.latent_weights.class_outputs import has_classes
from kbnn.techniques.latent_weights.terms import (
    Distillation,
    FeatureAlignment,
    LatentSupervision,
    RealPathLoss,
)
from kbnn.techniques.latent_weights.two_path_trainer import TwoPathTrainer


class DistillationTrainer(TwoPathTrainer):
    r"""Trains a model under a teacher, a network that was trained before and never changes.

    $$L = \lambda_{labels} L_{task} + \sum_i \lambda_i S_i$$

    The terms $S_i$ compare outputs and features of the model and the teacher; by default
    they distil its class probabilities. The teacher runs as in inference, gets no gradient, and is
    not part of the trainer's weights and checkpoints. What you train and ship is the model,
    `trainer.model`, which does not know the teacher.

    Args:
        model: A built functional or Sequential model, binary or not, without masks and without
            losses or metrics of its tensors.
        teacher: A trained model with the same inputs and classes, and its own weights. One of the
            two may return logits and the other probabilities. Under a distribution strategy, create
            both in its scope.
        supervision: The terms, each a `kbnn.losses.LatentSupervision`. By default it is
            `kbnn.losses.Distillation(temperature=1)`. In the `paths` that a term
            receives, the model is the binary path and the teacher the real-valued one.
            `kbnn.losses.RealPathLoss` is refused, because a teacher does not learn.
        label_weight: The weight of the compiled loss of the model, a number of at least 0 or a
            `keras.optimizers.schedules.LearningRateSchedule`. At 0 the model learns from the
            teacher only, and the labels serve for the metrics.
        teacher_layers: For the name of a layer of the model, the name of the teacher's layer to
            compare it with. By default it is the same name.
        with_index: As for `Trainer`.
        name: The name of the trainer.

    Attributes:
        teacher: The teacher.

    The logs have the teacher's metrics with the prefix "real_".

    Raises:
        TypeError: A model is subclassed or belongs to Keras 3, or a term has another type.
        ValueError: The model is not built, or has masks or losses or metrics of its tensors. The
            teacher shares weights with the model, has other inputs or outputs, or only one of the
            two starts with a scaling layer. A term names unknown layers, aligns features of
            different shapes, or does not fit the outputs. `label_weight` is out of range, or the
            weights of the labels and of all terms are 0.

    Example:
        >>> import kbnn
        >>> teacher = kbnn.models.vgg_tiny(width=8, input_quantizer=None, kernel_quantizer=None)
        >>> teacher.compile("adam", "sparse_categorical_crossentropy")
        >>> teacher.fit(train, epochs=20)                                      # doctest: +SKIP
        >>> model = kbnn.models.vgg_tiny(width=8)
        >>> trainer = kbnn.trainers.DistillationTrainer(model, teacher)
        >>> trainer.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        >>> trainer.fit(train, epochs=20)                                      # doctest: +SKIP
        >>> kbnn.converters.convert(model, "model.tflite")                     # doctest: +SKIP

    Source: "Distilling the Knowledge in a Neural Network" (Hinton et al., 2015). The comparison of
    features is kbnn's.
    """

    def __init__(
        self,
        model: keras.Model,
        teacher: keras.Model,
        supervision: Collection[LatentSupervision] | None = None,
        *,
        label_weight: Any = 1.0,
        teacher_layers: Mapping[str, str] | None = None,
        with_index: bool = False,
        name: str | None = None,
    ) -> None:
        terms = [Distillation(temperature=1.0)] if supervision is None else supervision
        super().__init__(model, terms, label_weight=label_weight, with_index=with_index, name=name)
        for term in self.supervision:
            if isinstance(term, RealPathLoss):
                raise ValueError(
                    "Expected terms that train the model, because the teacher does not learn. "
                    f"Received: {term.name!r}, the loss of the teacher"
                )
        check_teacher(model, teacher)
        ours, theirs = self._features(teacher, teacher_layers or {})
        self._student = keras.Model(model.input, {"outputs": model.output, "features": ours})
        self._frozen_teacher = _FrozenTeacher(model, teacher, theirs)
        self._build_terms(self._student, self._frozen_teacher.paths)

    @property
    def teacher(self) -> keras.Model:
        return self._frozen_teacher.teacher

    @property
    def second_path(self) -> keras.Model:
        return self._frozen_teacher.outputs

    def paths(self, x: Any, training: bool = False) -> dict[str, Any]:
        # First the model, whose random operations then draw the numbers of plain training.
        student = self._student(x, training=training)
        teacher = tf.nest.map_structure(
            tf.stop_gradient, self._frozen_teacher.paths(x, training=False)
        )
        return {
            "binary": student["outputs"],
            "real": teacher["outputs"],
            "binary_features": student["features"],
            "real_features": teacher["features"],
        }

    def _features(
        self, teacher: keras.Model, teacher_layers: Mapping[str, str]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the features that the terms need, of model and teacher, by layer name."""
        wanted = self.feature_layers
        unused = sorted(set(teacher_layers) - set(wanted))
        if unused:
            raise ValueError(
                "Expected `teacher_layers` to map layers whose features a term needs, of "
                f"{wanted}. Received: {', '.join(map(repr, unused))}"
            )
        names = {name: teacher_layers.get(name, name) for name in wanted}
        ours = {name: _layer_output(self.model, name, "model") for name in names}
        theirs = {name: _layer_output(teacher, other, "teacher") for name, other in names.items()}
        aligned = [term for term in self.supervision if isinstance(term, FeatureAlignment)]
        for name in (name for term in aligned for name in self._layers_of(term)):
            if not ours[name].shape.is_compatible_with(theirs[name].shape):
                raise ValueError(
                    "Expected features of the same shape. Received: "
                    f"{ours[name].shape} of {name!r} and {theirs[name].shape} of the teacher's "
                    f"{names[name]!r}. Pass layers with the same shape to FeatureAlignment, or the "
                    "teacher's layers as `teacher_layers`."
                )
        return ours, theirs


class _FrozenTeacher:
    """Holds the teacher, so that Keras does not train and save it as a part of the trainer.

    Attributes:
        teacher: The teacher.
        paths: A model from the model's inputs to {"outputs": outputs in the form of the model's,
            "features": features by the name of the model's layer}.
        outputs: A model from the model's inputs to the outputs.
    """

    def __init__(self, model: keras.Model, teacher: keras.Model, features: dict[str, Any]) -> None:
        self.teacher = teacher
        inner = keras.Model(teacher.input, {"outputs": teacher.output, "features": features})
        # On the inputs of the model: Keras finds the parts of a batch by their names.
        found = inner(tf.nest.pack_sequence_as(teacher.input, model.inputs))
        found["outputs"] = _match_output_form(model, teacher, found["outputs"])
        name = f"{teacher.name}_teacher"
        self.paths = keras.Model(model.input, found, name=name)
        self.outputs = keras.Model(model.input, found["outputs"], name=name)


def _match_output_form(model: keras.Model, teacher: keras.Model, outputs: Any) -> Any:
    """Return a teacher's outputs as probabilities or logits, as the model returns them."""
    if not has_classes(model) or gives_probabilities(model) == gives_probabilities(teacher):
        return outputs
    if gives_probabilities(model):
        return keras.layers.Softmax(dtype="float32", name="probabilities")(outputs)
    return tf.math.log(tf.maximum(tf.cast(outputs, tf.float32), 1e-30))


def _layer_output(model: keras.Model, name: str, argument: str) -> Any:
    """Return the output of a layer, by its name."""
    roles = LayerRoles(model)
    outputs = roles.outputs(name)
    if len(outputs) != 1:
        valid = [other for other in roles.names() if len(roles.outputs(other)) == 1]
        raise ValueError(
            f"Expected names of layers of the {argument} that are not nested, are used once and "
            f"have one output: {', '.join(valid)}. Received: {name!r}"
        )
    return outputs[0]
