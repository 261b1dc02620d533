"""The latent weights of a binary network as a real-valued network that teaches it."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn.losses.latent_supervision import (
    Distillation,
    LatentSupervision,
    Paths,
    RealPathLoss,
)
from kbnn.training.layer_roles import ROLES
from kbnn.training.real_twin import check_trainable, real_twin
from kbnn.training.rewrite import gives_probabilities, output_activation
from kbnn.training.trainer import Trainer


class LatentWeightModel(Trainer):
    r"""Trains a binary network beside its real-valued twin, which has the same latent weights.

    Where the binary network computes `conv(sign(a), sign(W))`, the twin computes `conv(h(a), W)`,
    with a real activation h. Both paths run in training; the loss is

    $$L = \mathrm{loss}(y, z_b) + \sum_i \lambda_i S_i$$

    with terms of supervision $S_i$ that take the outputs and features of both. The gradients of
    both paths reach W. What is trained, and ships, is the binary network, `trainer.host`: it is
    left as it is, and knows nothing of the twin.

    Args:
        model: a built functional or Sequential model with binary layers of Larq's, without masks
            and without losses or metrics of its tensors.
        supervision: terms, each a `kbnn.losses.LatentSupervision`; by default the loss of the
            real-valued path and, where there are classes, their distillation.
        activation: h, "hard_tanh" (the default) or as Keras takes activations.
        share: which real-valued layers (convolutions and dense layers) both paths use: "stem",
            those before the first binary layer, which are run once; "classifier", those behind
            the last; "shortcuts", those between. All by default. What is not shared the twin has
            a copy of. Normalization and the biases of binary layers are always its own.
        replace: called with each layer; returns the twin of a layer that is not known, a new
            layer, and None for the others.
        indexed: as for `Trainer`.
        name: of the trainer.

    Its metrics are those of the binary path, and with "real_" in front those of the twin. In a
    nested model that has binary layers, what stands before them is run for each path.

    Raises:
        TypeError: the model is subclassed, or of Keras 3; a term of another kind.
        ValueError: a model that is not built or has no binary layer; masks, or losses or metrics of
            tensors in it; a layer with weights that no twin is known of, by name; names that are
            none; a term that does not fit the model's outputs.

    >>> import kbnn
    >>> model = kbnn.models.vgg_tiny(width=8)
    >>> trainer = kbnn.training.LatentWeightModel(model)
    >>> trainer.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    >>> trainer.fit(train, epochs=20)                                          # doctest: +SKIP
    >>> kbnn.converters.convert(model, "model.tflite")                         # doctest: +SKIP

    Source: after the abstract of "Fully Utilizing Latent Weights" (LW), which alone is known: that
    the latent weights are in the graph as a real-valued feature extractor that helps the binary
    network. The twin, what it shares, and every term of the loss are kbnn's.
    """

    def __init__(
        self,
        model: keras.Model,
        supervision: Collection[LatentSupervision] | None = None,
        *,
        activation: Any = "hard_tanh",
        share: Collection[str] = ROLES,
        replace: Callable[[keras.layers.Layer], keras.layers.Layer | None] | None = None,
        indexed: bool = False,
        name: str | None = None,
    ) -> None:
        check_trainable(model)
        if supervision is None:
            usual = (RealPathLoss(), Distillation())
            supervision = [term for term in usual if has_classes(model) or not term.needs_classes]
        if isinstance(supervision, LatentSupervision):
            raise TypeError(f"Expected a list of terms. Received: supervision={supervision!r}")
        terms = tuple(supervision)
        for term in terms:
            if not isinstance(term, LatentSupervision):
                raise TypeError(
                    "Expected `supervision` to be LatentSupervision objects of kbnn.losses. "
                    f"Received: {term!r}"
                )
            if term.needs_classes and not has_classes(model):
                raise ValueError(
                    "Expected a model with one output of logits or probabilities of two or more "
                    f"classes for {term.name!r}. Received: model={model.name!r}"
                )
        names = [term.name for term in terms]
        if len(set(names)) < len(names):
            raise ValueError(f"Expected terms of different names. Received: {', '.join(names)}")
        if isinstance(share, str) or not set(share) <= set(ROLES):
            raise ValueError(
                f"Expected `share` to be of {', '.join(ROLES)}. Received: share={share!r}"
            )
        super().__init__(model, terms=names, indexed=indexed, name=name)
        twin = real_twin(
            model,
            activation=activation,
            share=share,
            features={layer for term in terms for layer in _layers(term)},
            replace=replace,
        )
        for term in terms:
            if term.layers is None and not twin.usual_features:
                raise ValueError(
                    f"Expected names of layers for {term.name!r}, since {model.name!r} has none "
                    "between its binary layers, outside of nested models. Received: layers=None"
                )
        self.twin = twin.twin
        self.supervision = terms
        self.trained_by_supervision = [layer for term in terms for layer in term.trained]
        self._binary = twin.binary
        self._real = twin.real
        self._usual_features = twin.usual_features
        self._logits = _logits_of(model)

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        weighted_metrics: Any = None,
        **options: Any,
    ) -> None:
        super().compile(optimizer, loss, metrics, loss_weights, weighted_metrics, **options)
        self.twin.output_names = self.host.output_names
        self.twin.compile(
            loss=loss,
            metrics=_copies(metrics),
            loss_weights=loss_weights,
            weighted_metrics=_copies(weighted_metrics),
        )

    def paths(self, x: Any, training: bool = False) -> dict[str, Any]:
        """The outputs of both paths, and the features that the terms want to see.

        Returns:
            {"binary": outputs, "real": outputs, "binary_features": {layer name: features},
            "real_features": {layer name: features}}.
        """
        # In this order, so that operations in the model get the random numbers of plain training.
        binary = self._binary(x, training=training)
        real = self._real(binary["frontier"], training=training)
        return {
            "binary": binary["outputs"],
            "real": real["outputs"],
            "binary_features": binary["features"],
            "real_features": real["features"],
        }

    def forward(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Mapping[str, tf.Tensor]]:
        return self._both_paths(x, y, sample_weight, training=True)

    def test_step(self, data: Any) -> dict[str, Any]:
        x, y, sample_weight, _ = self.unpack(data)
        outputs, terms = self._both_paths(x, y, sample_weight, training=False)
        self.compiled_loss(y, outputs, sample_weight, regularization_losses=self.host.losses)
        self.update_terms(terms, x)
        return self.compute_metrics(x, y, outputs, sample_weight)

    def _both_paths(
        self, x: Any, y: Any, sample_weight: Any, training: bool
    ) -> tuple[Any, Mapping[str, tf.Tensor]]:
        outputs = self.paths(x, training=training)
        binary, real = outputs["binary"], outputs["real"]
        # Of a replica's batch, as a loss; Keras divides what is added to it by the replicas.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        real_loss = replicas * self.twin.compiled_loss(y, real, sample_weight)
        self.twin.compiled_metrics.update_state(y, real, sample_weight)
        self._name_metrics_of_twin()
        paths = Paths(
            labels=y,
            binary=binary,
            real=real,
            binary_logits=self._logits(binary),
            real_logits=self._logits(real),
            binary_features=outputs["binary_features"],
            real_features=outputs["real_features"],
            real_loss=real_loss,
        )
        step = self.optimizer.iterations
        return binary, {
            term.name: term.weight_at(step) * _mean(term(self._seen(term, paths)), sample_weight)
            for term in self.supervision
        }

    def _seen(self, term: LatentSupervision, paths: Paths) -> Paths:
        """The paths with the features that a term wants."""
        layers = self._usual_features if term.layers is None else term.layers
        return paths._replace(
            binary_features={name: paths.binary_features[name] for name in layers},
            real_features={name: paths.real_features[name] for name in layers},
        )

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*super().metrics, *self._metrics_of_twin()]

    def _metrics_of_twin(self) -> list[keras.metrics.Metric]:
        # There are none before `compile`; the containers find theirs at the first batch.
        containers = (self.twin.compiled_loss, self.twin.compiled_metrics)
        return [metric for found in containers if found for metric in found.metrics]

    def _name_metrics_of_twin(self) -> None:
        for metric in self._metrics_of_twin():
            if not metric.name.startswith("real_"):
                metric._name = f"real_{metric.name}"


def _layers(term: LatentSupervision) -> Collection[str | None]:
    return [None] if term.layers is None else term.layers


def _copies(metrics: Any) -> Any:
    """Metrics with a state of their own."""

    def copied(metric: Any) -> Any:
        if not isinstance(metric, keras.metrics.Metric):
            return metric
        try:
            return type(metric).from_config(metric.get_config())
        except TypeError as error:
            raise ValueError(
                f"Expected metrics that can be made again from their config, one for each path. "
                f"Received: {type(metric).__name__}, whose get_config lacks arguments"
            ) from error

    return tf.nest.map_structure(copied, metrics)


def _mean(losses: tf.Tensor, sample_weight: Any) -> tf.Tensor:
    """The mean over the batch, as Keras's losses take it; a scalar is one already."""
    losses = tf.convert_to_tensor(losses)
    if losses.shape.rank == 0:
        return losses
    if losses.shape.rank != 1:
        raise ValueError(
            f"Expected a term to be a scalar or `(batch,)`. Received: a shape {losses.shape}"
        )
    if sample_weight is not None:
        weights = tf.nest.flatten(sample_weight)
        if len(weights) != 1:
            raise ValueError(
                "Expected one weight for each sample beside a term `(batch,)`. "
                f"Received: {len(weights)}, one for each output"
            )
        losses *= tf.cast(tf.reshape(weights[0], [-1]), losses.dtype)
    return tf.reduce_mean(losses)


def has_classes(model: keras.Model) -> bool:
    """Whether a model gives logits or probabilities of two or more classes, and nothing else."""
    if len(model.outputs) != 1 or model.outputs[0].shape.rank != 2:
        return False
    is_sigmoid = output_activation(model) in (keras.activations.sigmoid, tf.nn.sigmoid)
    return model.outputs[0].shape[-1] != 1 and not is_sigmoid


def _logits_of(model: keras.Model) -> Callable[[Any], tf.Tensor | None]:
    """A function from a model's outputs to its logits."""
    if len(model.outputs) != 1 or model.outputs[0].shape.rank != 2:
        return lambda outputs: None
    is_softmax = gives_probabilities(model)

    def logits(outputs: Any) -> tf.Tensor:
        (found,) = tf.nest.flatten(outputs)
        found = tf.cast(found, tf.float32)
        # Up to a constant for each sample, which a softmax does not see.
        return tf.math.log(tf.maximum(found, 1e-30)) if is_softmax else found

    return logits
