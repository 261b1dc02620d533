"""A model trained beside a second path, which teaches it by terms of the loss."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn.graph.output_activation import gives_probabilities, output_activation
from kbnn.graph.roles import LayerRoles
from kbnn.techniques.latent_weights.terms import LatentSupervision, Paths
from kbnn.techniques.latent_weights.twin import check_trainable
from kbnn.training.trainer import Trainer


class TwoPathTrainer(Trainer):
    """A `Trainer` whose terms compare the model with a second path, which teaches it; a base.

    A subclass gives both by `paths` and `second_path`. The metrics of the second path have "real_"
    in front of their names.

    Args:
        model: a built functional or Sequential model, without masks and without losses or metrics
            of its tensors.
        supervision: terms, each a `kbnn.losses.LatentSupervision`.
        indexed: as for `Trainer`.
        name: of the trainer.

    Attributes:
        supervision: the terms.

    Raises:
        TypeError: the model is subclassed, or of Keras 3; a term of another kind.
        ValueError: a model that is not built; masks, or losses or metrics of tensors in it; terms
            of one name; a term that does not fit the model's outputs; one for the usual layers
            where the model has none. In the first step: metrics and terms of one name.
    """

    def __init__(
        self,
        model: keras.Model,
        supervision: Collection[LatentSupervision],
        *,
        with_index: bool = False,
        name: str | None = None,
    ) -> None:
        check_trainable(model)
        terms = _checked(supervision, model)
        usual_features = LayerRoles(model).features()
        for term in terms:
            if term.layers is None and not usual_features:
                raise ValueError(
                    f"Expected names of layers for {term.name!r}, since {model.name!r} has none "
                    "between its binary layers, outside of nested models. Received: layers=None"
                )
        super().__init__(
            model, terms=[term.name for term in terms], with_index=with_index, name=name
        )
        self.supervision = terms
        # So that Keras finds their weights.
        self.trained_by_supervision = [layer for term in terms for layer in term.trained]
        self._usual_features = tuple(usual_features)
        self._logits = _logits_of(model)
        # Ids of the second path's metrics that have been given their names.
        self._named: set[int] = set()

    @property
    def second_path(self) -> keras.Model:
        """The path that teaches, whose losses and metrics are logged."""
        raise NotImplementedError

    @property
    def feature_layers(self) -> list[str]:
        """Names of the layers whose outputs the terms want to see."""
        found = [name for term in self.supervision for name in self._layers_of(term)]
        return list(dict.fromkeys(found))

    def paths(self, x: Any, training: bool = False) -> dict[str, Any]:
        """The outputs of both paths, and the features that the terms want to see.

        Returns:
            {"binary": outputs, "real": outputs, "binary_features": {layer name: features},
            "real_features": {layer name: features}}.
        """
        raise NotImplementedError

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        weighted_metrics: Any = None,
        **options: Any,
    ) -> None:
        of_classes = [term.name for term in self.supervision if term.needs_classes]
        is_softmax = gives_probabilities(self.model)
        if of_classes and not is_softmax and _name_of(loss) in _NOT_OF_CLASSES:
            raise ValueError(
                f"Expected a loss of classes beside {', '.join(map(repr, of_classes))}, which "
                f"compares them. Received: loss={loss!r}. Give the terms that fit, as "
                "`supervision`."
            )
        super().compile(optimizer, loss, metrics, loss_weights, weighted_metrics, **options)
        self._named = set()
        self.second_path.output_names = self.model.output_names
        self.second_path.compile(
            loss=loss,
            metrics=_copies(metrics),
            loss_weights=loss_weights,
            weighted_metrics=_copies(weighted_metrics),
        )

    def forward(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Mapping[str, tf.Tensor]]:
        return self._both_paths(x, y, sample_weight, training=True)

    def test_step(self, data: Any) -> dict[str, Any]:
        x, y, sample_weight, _ = self.unpack(data)
        outputs, terms = self._both_paths(x, y, sample_weight, training=False)
        self.compiled_loss(y, outputs, sample_weight, regularization_losses=self.model.losses)
        self.update_terms(terms, x)
        return self.compute_metrics(x, y, outputs, sample_weight)

    def _both_paths(
        self, x: Any, y: Any, sample_weight: Any, training: bool
    ) -> tuple[Any, Mapping[str, tf.Tensor]]:
        outputs = self.paths(x, training=training)
        binary, real = outputs["binary"], outputs["real"]
        # Of a replica's batch, as a loss; Keras divides what is added to it by the replicas.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        real_loss = self.second_path.compiled_loss(y, real, sample_weight)
        self._validate_target_and_loss(y, real_loss)
        real_loss *= replicas
        self.second_path.compiled_metrics.update_state(y, real, sample_weight)
        self._name_metrics_of_second_path()
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

    def _build_terms(self, binary: keras.Model, real: keras.Model) -> None:
        """Make the terms' own weights, by the paths' models, whose outputs have "features"."""
        for term in self.supervision:
            names = self._layers_of(term)
            term.build(
                *(
                    {name: path.output["features"][name].shape for name in names}
                    for path in (binary, real)
                )
            )

    def _layers_of(self, term: LatentSupervision) -> tuple[str, ...]:
        return self._usual_features if term.layers is None else term.layers

    def _seen(self, term: LatentSupervision, paths: Paths) -> Paths:
        """The paths with the features that a term wants."""
        layers = self._layers_of(term)
        return paths._replace(
            binary_features={name: paths.binary_features[name] for name in layers},
            real_features={name: paths.real_features[name] for name in layers},
        )

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*super().metrics, *self._metrics_of_second_path()]

    def _metrics_of_second_path(self) -> list[keras.metrics.Metric]:
        # There are none before `compile`; the containers find theirs at the first batch.
        containers = (self.second_path.compiled_loss, self.second_path.compiled_metrics)
        return [metric for found in containers if found for metric in found.metrics]

    def _name_metrics_of_second_path(self) -> None:
        """Put "real_" in front of names, once after each `compile`.

        Raises:
            ValueError: metrics of one name, of which the logs would have the last one alone.
        """
        for metric in self._metrics_of_second_path():
            if id(metric) not in self._named:
                metric._name = f"real_{metric.name}"
                self._named.add(id(metric))
        names = [metric.name for metric in self._metrics_of_second_path()]
        names += [term.name for term in self.supervision]
        names += {metric.name for metric in keras.Model.metrics.fget(self)}
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                "Expected metrics and terms of different names, where the second path's have "
                f'"real_" in front. Received: {", ".join(twice)}, twice'
            )


# Keras's losses of outputs that are no scores of classes of which one is right.
_NOT_OF_CLASSES = {
    *("mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error"),
    *("mean_squared_logarithmic_error", "huber", "log_cosh", "poisson"),
    *("binary_crossentropy", "binary_focal_crossentropy", "cosine_similarity"),
}


def _name_of(loss: Any) -> str | None:
    """The name of one of Keras's losses, however it is given."""
    try:
        found = keras.losses.get(loss)
    except (ValueError, TypeError):
        return None
    return getattr(getattr(found, "fn", found), "__name__", None)


def has_classes(model: keras.Model) -> bool:
    """Whether a model gives logits or probabilities of two or more classes, and nothing else."""
    if len(model.outputs) != 1 or model.outputs[0].shape.rank != 2:
        return False
    is_sigmoid = output_activation(model) in (keras.activations.sigmoid, tf.nn.sigmoid)
    return model.outputs[0].shape[-1] != 1 and not is_sigmoid


def _checked(supervision: Any, model: keras.Model) -> tuple[LatentSupervision, ...]:
    """The terms, of the right kind and for what the model gives."""
    if isinstance(supervision, LatentSupervision | str):
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
    return terms


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
