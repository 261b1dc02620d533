"""A Keras model that trains another model, the one that ships, with further loss terms."""

import os
from collections.abc import Collection, Mapping
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn import _checks
from kbnn.graph.larq_quantizers import check_kernels
from kbnn.graph.variables import check_variables
from kbnn.training import batch_context

# Names that the logs have already.
_TAKEN = ("loss", "real_loss")


class Trainer(keras.Model):
    """Trains a model with further loss terms. The model itself does not change.

    The train step is Keras's, with the terms of `forward` added to the loss; a subclass overrides
    `forward`. A plain `Trainer` trains exactly as the model does. It also makes the labels and
    sample indices of each batch visible to the contrastive terms in the model.

    A trainer is a `keras.Model`: `compile`, `fit`, callbacks, class and sample weights, mixed
    precision and distribution strategies work as in Keras. Weights that are frozen in the model
    stay frozen.

    `save`, and so `ModelCheckpoint`, writes only the model, which no longer needs the trainer.
    `save_weights`, `ModelCheckpoint(save_weights_only=True)` and `BackupAndRestore` include what
    only the trainer has.

    Args:
        model: a built model, afterwards `trainer.model`. The trainer uses its weights, so predict
            with, evaluate, freeze and convert the model.
        terms: names of the terms that `forward` returns, for the logs.
        with_index: whether the data are `(x, y, index)` or `(x, y, index, sample_weight)`, where
            `index` is the position of the sample in the data set, as in
            `kbnn.data.load(with_index=True)`. Validation data may omit the index. `fit` then takes
            no `class_weight`.
        name: name of the trainer; by default the model's with "_trainer".

    Raises:
        TypeError: the model is not a Keras 2 model, has layers of Keras 3, or has its own
            `train_step`.
        ValueError: the model is not built, or computes with a variable that is not its weight.

    Example:
        >>> import kbnn
        >>> model = kbnn.models.vgg_tiny(width=8)
        >>> trainer = kbnn.trainers.Trainer(model)
        >>> trainer.compile("adam", "sparse_categorical_crossentropy")
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        terms: Collection[str] = (),
        with_index: bool = False,
        name: str | None = None,
    ) -> None:
        _checks.keras2_model("model", model)
        _checks.built(model)
        if isinstance(model, Trainer):
            raise TypeError(
                "Expected the model to train. Received: a trainer, whose terms would be lost. Give "
                "its model, `trainer.model`."
            )
        check_kernels(model)
        check_variables(model)
        if type(model).train_step is not keras.Model.train_step:
            raise TypeError(
                "Expected a model with Keras's own `train_step`, which the trainer replaces. "
                f"Received: a {type(model).__name__}, which has a `train_step`"
            )
        if isinstance(terms, str) or not set(terms).isdisjoint(_TAKEN):
            raise _checks.refuse("terms", f"names other than {', '.join(_TAKEN)}", terms)
        super().__init__(name=f"{model.name}_trainer" if name is None else name)
        self.model = model
        self.with_index = bool(with_index)
        self._terms = EpochMeans(terms)
        # `test_step` does not log them.
        self._training_only = set(terms)
        self.built = True

    def call(self, inputs: Any, training: Any = None) -> Any:
        return self.model(inputs, training=training)

    def forward(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Mapping[str, tf.Tensor]]:
        """Run the model on a training batch and compute the terms.

        Args:
            x: the inputs.
            y: the labels, or None.
            sample_weight: the sample weights, or None.

        Returns:
            The outputs of the model, and the terms to add to its loss: by name, scalars that are
            means over the batch.
        """
        return self.model(x, training=True), {}

    def total_loss(
        self, y: Any, outputs: Any, sample_weight: Any, terms: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        """Return what a training step minimizes, and log it as the loss.

        Args:
            y: the labels, or None.
            outputs: the outputs of the model.
            sample_weight: the sample weights, or None.
            terms: the terms that `forward` returns.
        """
        return self.compiled_loss(
            *(y, outputs, sample_weight),
            regularization_losses=[*self.model.losses, *terms.values()],
        )

    def fit(self, *arguments: Any, class_weight: Any = None, **options: Any) -> Any:
        """Train, as `keras.Model.fit` does.

        Raises:
            ValueError: `class_weight` for a trainer `with_index`.
        """
        if class_weight is None:
            return super().fit(*arguments, **options)
        if self.with_index:
            raise ValueError(
                "Expected no `class_weight` for a trainer with_index=True. Give sample weights, as "
                f"(x, y, index, sample_weight). Received: class_weight={class_weight!r}"
            )
        # As floats, because integers in their place would be taken for indices.
        weights = {label: float(weight) for label, weight in class_weight.items()}
        return super().fit(*arguments, class_weight=weights, **options)

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y, sample_weight, indices = self.unpack(data)
        if self.with_index and indices is None:
            raise ValueError(
                "Expected batches (x, y, index), as kbnn.data.load(..., with_index=True) gives "
                "them, for a trainer with_index=True. Received: no integers after the labels"
            )
        with tf.GradientTape() as tape, batch_context.batch_scope(y, indices):
            outputs, terms = self.forward(x, y, sample_weight)
            loss = self.total_loss(y, outputs, sample_weight, terms)
        self._validate_target_and_loss(y, loss)
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        self.update_terms(terms, x)
        return self.compute_metrics(x, y, outputs, sample_weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        x, y, sample_weight, _ = self.unpack(data)
        logs = super().test_step((x, y, sample_weight))
        return {name: value for name, value in logs.items() if name not in self._training_only}

    def unpack(self, data: Any) -> tuple[Any, Any, Any, Any]:
        """Return the inputs, labels, sample weights and indices of a batch; None for missing ones.

        Raises:
            ValueError: integers in the place of sample weights, for a trainer that is not
                `with_index`; or a batch with more parts.
        """
        parts = tuple(data) if isinstance(data, tuple | list) else (data,)
        third = parts[2] if len(parts) > 2 else None
        is_index = _is_integer(third)
        if not self.with_index:
            if is_index:
                raise ValueError(
                    "Expected sample weights after the labels, floating-point numbers. Received: "
                    "integers. If they are sample indices, give Trainer(model, with_index=True)."
                )
            return (*keras.utils.unpack_x_y_sample_weight(data), None)
        if len(parts) == 4 and is_index:
            return parts[0], parts[1], parts[3], third
        if len(parts) > 3:
            raise ValueError(
                "Expected batches (x, y, index) or (x, y, index, sample_weight), the index of "
                f"integers. Received: {len(parts)} parts"
            )
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        return (x, y, None, third) if is_index else (x, y, sample_weight, None)

    def update_terms(self, terms: Mapping[str, tf.Tensor], x: Any) -> None:
        """Add the terms of a batch with inputs `x` to their means in the logs."""
        names = [mean.name for mean in self._terms.means]
        if set(names) != set(terms):
            raise ValueError(
                f"Expected `forward` to return the terms of the trainer, {names}. "
                f"Received: {list(terms)}"
            )
        count = tf.shape(tf.nest.flatten(x)[0])[0]
        for mean in self._terms.means:
            mean.update_state(terms[mean.name], sample_weight=count)

    @property
    def trainable_weights(self) -> list[Any]:
        # A weight that is frozen in the model is frozen in every layer that shares it.
        frozen = {id(weight) for weight in self.model.non_trainable_weights}
        return [weight for weight in super().trainable_weights if id(weight) not in frozen]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*super().metrics, *self._terms.means]

    def compile(self, *arguments: Any, **options: Any) -> None:
        # The model's names, so that losses and metrics by output name are found.
        self.output_names = list(getattr(self.model, "output_names", None) or []) or None
        super().compile(*arguments, **options)

    def save_weights(self, filepath: Any, *arguments: Any, **options: Any) -> None:
        """Save all weights of the trainer, as `keras.Model.save_weights` does.

        Raises:
            ValueError: the old HDF5 format, which stores weights in an order that is wrong for
                layers that share them.
        """
        name = os.fspath(filepath)
        old = name.endswith((".h5", ".hdf5", ".keras")) or options.get("save_format") is not None
        if old and not name.endswith(".weights.h5"):
            raise ValueError(
                'Expected `filepath` to end in ".weights.h5", or to have no such ending, for '
                f"TensorFlow's format. Received: filepath={name!r}"
            )
        super().save_weights(filepath, *arguments, **options)

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError(
            "Expected to save the model (trainer.save or trainer.model.save) or the weights of the "
            "trainer (trainer.save_weights). Received: the trainer itself, which has no config"
        )

    def save(self, filepath: Any, *arguments: Any, **options: Any) -> None:
        """Save the model, not the trainer, as `keras.Model.save` does."""
        self.model.save(filepath, *arguments, **options)


def model_of(model: keras.Model) -> keras.Model:
    """Return the model that ships: the model of a trainer, or the given model itself."""
    return model.model if isinstance(model, Trainer) else model


def _is_integer(value: Any) -> bool:
    return getattr(getattr(value, "dtype", None), "is_integer", False)


class EpochMeans:
    """Means over an epoch, in an object that Keras does not search for weights to save."""

    def __init__(self, names: Collection[str]) -> None:
        self.means = [keras.metrics.Mean(name) for name in names]
