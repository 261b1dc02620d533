"""The train step of a model with a second path, which teaches it."""

from collections.abc import Collection, Mapping
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn.graph.output_activation import gives_probabilities
from kbnn.graph.roles import LayerRoles
from kbnn.techniques.latent_weights.class_outputs import (
    has_classes,
    is_loss_for_classes,
    logits_function,
)
from kbnn.techniques.latent_weights.terms import (
    LatentSupervision,
    Paths,
    RealPathLoss,
    check_weight,
    weight_at,
)
from kbnn.techniques.latent_weights.twin import check_trainable
from kbnn.training.trainer import Trainer


class TwoPathTrainer(Trainer):
    r"""Base class for trainers whose terms compare the model with a second path.

    $$L = \lambda_{labels} L_{task} + \sum_i \lambda_i S_i + R$$

    $L_{task}$ is the compiled loss of the labels, and $R$ are the regularizers of the model. In the
    logs `loss` is $L$, and `val_loss` is $L_{task} + R$. The metrics of the second path have the
    prefix "real_". A subclass overrides `paths` and `second_path`.

    Args:
        model: A built functional or Sequential model, without masks and without losses or metrics
            of its tensors.
        supervision: The terms $S_i$, each a `kbnn.losses.LatentSupervision`.
        label_weight: The weight of the compiled loss, a number of at least 0 or a
            `keras.optimizers.schedules.LearningRateSchedule`. At 0 only the terms train the model.
        with_index: As for `Trainer`.
        name: The name of the trainer.

    Attributes:
        supervision: The terms.
        label_weight: The weight of the compiled loss, as it was given.

    Raises:
        TypeError: The model is subclassed or belongs to Keras 3, or a term has another type.
        ValueError: The model is not built, or has masks or losses or metrics of its tensors. Two
            terms have the same name. A term does not fit the model's outputs, or has no layers to
            compare. `label_weight` is out of range, or it is 0 and so is every weight of a term
            that trains the model. In the first step: a metric and a term have the same name.
    """

    def __init__(
        self,
        model: keras.Model,
        supervision: Collection[LatentSupervision],
        *,
        label_weight: Any = 1.0,
        with_index: bool = False,
        name: str | None = None,
    ) -> None:
        check_trainable(model)
        terms = _check_terms(supervision, model)
        _check_label_weight(label_weight, terms)
        default_layers = LayerRoles(model).features()
        for term in terms:
            if term.layers is None and not default_layers:
                raise ValueError(
                    f"Expected `layers` for {term.name!r}, because {model.name!r} has no layers "
                    "between its binary layers, outside of nested models. Received: layers=None"
                )
        super().__init__(
            model, terms=[term.name for term in terms], with_index=with_index, name=name
        )
        self.supervision = terms
        self.label_weight = label_weight
        # An attribute, so that Keras finds the weights of these layers.
        self.term_layers = [layer for term in terms for layer in term.trainable_layers]
        self._default_layers = tuple(default_layers)
        self._logits = logits_function(model)
        # Ids of the second path's metrics that have their prefix.
        self._renamed: set[int] = set()

    @property
    def second_path(self) -> keras.Model:
        """The path that teaches, whose losses and metrics are logged."""
        raise NotImplementedError

    @property
    def feature_layers(self) -> list[str]:
        """Names of the layers whose outputs the terms need."""
        found = [name for term in self.supervision for name in self._layers_of(term)]
        return list(dict.fromkeys(found))

    def paths(self, x: Any, training: bool = False) -> dict[str, Any]:
        """Run both paths on a batch.

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
        need_classes = [term.name for term in self.supervision if term.needs_classes]
        if need_classes and not gives_probabilities(self.model) and not is_loss_for_classes(loss):
            raise ValueError(
                f"Expected a loss of classes for {', '.join(map(repr, need_classes))}. "
                f"Received: loss={loss!r}. Pass the terms that fit it as `supervision`."
            )
        super().compile(optimizer, loss, metrics, loss_weights, weighted_metrics, **options)
        self._renamed = set()
        self.second_path.output_names = self.model.output_names
        self.second_path.compile(
            loss=loss,
            metrics=_copy_metrics(metrics),
            loss_weights=loss_weights,
            weighted_metrics=_copy_metrics(weighted_metrics),
        )

    def forward(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Mapping[str, tf.Tensor]]:
        return self._run_both_paths(x, y, sample_weight, training=True)

    def total_loss(
        self, y: Any, outputs: Any, sample_weight: Any, terms: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        # The terms have used the sample weights as they are.
        return super().total_loss(y, outputs, self._weigh_labels(sample_weight), terms)

    def _weigh_labels(self, sample_weight: Any) -> Any:
        """Return sample weights by which the compiled loss is multiplied by the label weight."""
        if not callable(self.label_weight) and self.label_weight == 1:
            return sample_weight
        factor = tf.cast(weight_at(self.label_weight, self.optimizer.iterations), tf.float32)
        return tf.nest.map_structure(
            lambda weight: factor if weight is None else factor * tf.cast(weight, tf.float32),
            sample_weight,
        )

    def test_step(self, data: Any) -> dict[str, Any]:
        x, y, sample_weight, _ = self.unpack(data)
        outputs, terms = self._run_both_paths(x, y, sample_weight, training=False)
        self.compiled_loss(y, outputs, sample_weight, regularization_losses=self.model.losses)
        self.update_terms(terms, x)
        return self.compute_metrics(x, y, outputs, sample_weight)

    def _run_both_paths(
        self, x: Any, y: Any, sample_weight: Any, training: bool
    ) -> tuple[Any, Mapping[str, tf.Tensor]]:
        outputs = self.paths(x, training=training)
        binary, real = outputs["binary"], outputs["real"]
        # A loss is a mean over the replica's batch; Keras divides added losses by the replicas.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        real_loss = self.second_path.compiled_loss(y, real, sample_weight)
        self._validate_target_and_loss(y, real_loss)
        real_loss *= replicas
        self.second_path.compiled_metrics.update_state(y, real, sample_weight)
        self._rename_second_metrics()
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
        terms = {}
        for term in self.supervision:
            value = _batch_mean(term(self._select_features(term, paths)), sample_weight)
            terms[term.name] = term.weight_at(step) * value
        return binary, terms

    def _build_terms(self, binary: keras.Model, real: keras.Model) -> None:
        """Build the terms from the models of the paths, whose outputs have "features"."""
        for term in self.supervision:
            names = self._layers_of(term)
            shapes = [
                {name: path.output["features"][name].shape for name in names}
                for path in (binary, real)
            ]
            term.build(*shapes)

    def _layers_of(self, term: LatentSupervision) -> tuple[str, ...]:
        return self._default_layers if term.layers is None else term.layers

    def _select_features(self, term: LatentSupervision, paths: Paths) -> Paths:
        """Return the paths with only the features that a term needs."""
        layers = self._layers_of(term)
        return paths._replace(
            binary_features={name: paths.binary_features[name] for name in layers},
            real_features={name: paths.real_features[name] for name in layers},
        )

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*super().metrics, *self._second_metrics()]

    def _second_metrics(self) -> list[keras.metrics.Metric]:
        # None before `compile`; the containers create their metrics at the first batch.
        containers = (self.second_path.compiled_loss, self.second_path.compiled_metrics)
        return [metric for found in containers if found for metric in found.metrics]

    def _rename_second_metrics(self) -> None:
        """Prefix the names of the second path's metrics with "real_", once after each `compile`.

        Raises:
            ValueError: Two metrics or terms have the same name, so that the logs would lose one.
        """
        for metric in self._second_metrics():
            if id(metric) not in self._renamed:
                metric._name = f"real_{metric.name}"
                self._renamed.add(id(metric))
        names = [metric.name for metric in self._second_metrics()]
        names += [term.name for term in self.supervision]
        names += {metric.name for metric in keras.Model.metrics.fget(self)}
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(
                "Expected metrics and terms with different names, where the second path's metrics "
                f'have the prefix "real_". Received: {", ".join(repeated)}, twice'
            )


def _check_terms(supervision: Any, model: keras.Model) -> tuple[LatentSupervision, ...]:
    """Raise an error unless the terms have the right type and fit the model; return them."""
    if isinstance(supervision, LatentSupervision | str):
        raise TypeError(
            f"Expected `supervision` to be a list of terms. Received: supervision={supervision!r}"
        )
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
        raise ValueError(f"Expected terms with different names. Received: {', '.join(names)}")
    return terms


def _check_label_weight(weight: Any, terms: Collection[LatentSupervision]) -> None:
    """Raise ValueError unless the labels or a term train the model."""
    check_weight(weight, "label_weight")
    # The loss of the second path does not reach all layers of the model.
    teaching = [term for term in terms if not isinstance(term, RealPathLoss)]
    if not any(callable(each) or each > 0 for each in [weight, *(one.weight for one in teaching)]):
        names = ", ".join(repr(term.name) for term in teaching) or "no such term"
        raise ValueError(
            "Expected `label_weight` above 0, or a weight above 0 of a term that compares the "
            f"model with the second path. Received: 0 for the labels, and for {names}"
        )


def _copy_metrics(metrics: Any) -> Any:
    """Return metrics of the same configuration, each with its own state."""

    def copy(metric: Any) -> Any:
        if not isinstance(metric, keras.metrics.Metric):
            return metric
        try:
            return type(metric).from_config(metric.get_config())
        except TypeError as error:
            raise ValueError(
                "Expected metrics that `from_config(get_config())` can copy, one for each path. "
                f"Received: {type(metric).__name__}, whose get_config lacks arguments"
            ) from error

    return tf.nest.map_structure(copy, metrics)


def _batch_mean(losses: tf.Tensor, sample_weight: Any) -> tf.Tensor:
    """Return the mean over the batch, as Keras computes it for losses; a scalar stays."""
    losses = tf.convert_to_tensor(losses)
    if losses.shape.rank == 0:
        return losses
    if losses.shape.rank != 1:
        raise ValueError(
            f"Expected a term to be a scalar or `(batch,)`. Received: shape {losses.shape}"
        )
    if sample_weight is not None:
        weights = tf.nest.flatten(sample_weight)
        if len(weights) != 1:
            raise ValueError(
                "Expected one weight for each sample, because a term is `(batch,)`. "
                f"Received: {len(weights)}, one for each output"
            )
        losses *= tf.cast(tf.reshape(weights[0], [-1]), losses.dtype)
    return tf.reduce_mean(losses)
