"""A model's training step as an object of its own, around the model that ships."""

import os
from collections.abc import Collection, Mapping
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn import _checks
from kbnn.graph.larq_quantizers import check_kernels
from kbnn.training import batch_context


class Trainer(keras.Model):
    """Trains a model with further loss terms, and leaves the model itself as it is.

    The train step is Keras's, with the terms of `forward` added to the loss. A subclass overrides
    `forward`; by itself a trainer trains as the model does, to the bit. It hands the labels and
    sample indices of each batch to the contrastive terms in the model. It is a `keras.Model`:
    `compile`, `fit`, callbacks, class and sample weights, mixed precision and distribution
    strategies are Keras's. Weights that are frozen in the model stay as they are.

    `save`, and `ModelCheckpoint` by it, writes the model alone, which needs no trainer any more;
    `save_weights`, `ModelCheckpoint(save_weights_only=True)` and `BackupAndRestore` cover the whole
    of the trainer.

    Args:
        model: a built model, `trainer.model` from then on. The two share their weights: predict
            with, evaluate, freeze and convert the model.
        terms: names of the terms that `forward` gives, for the logs.
        indexed: whether data are `(x, y, index)` or `(x, y, index, sample_weight)`, with the
            sample's position in the data set, as `kbnn.data.load(with_index=True)` gives them.
            Validation data may then be without it. `class_weight` of `fit` is not taken beside.
        name: of the trainer; the model's with "_trainer" by default.

    Raises:
        TypeError: the model is not a Keras 2 model, or has a `train_step` of its own.
        ValueError: the model is not built.

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
                "Expected the model that is to be trained. Received: a trainer, whose terms would "
                "be lost. Give its model, `trainer.model`."
            )
        check_kernels(model)
        if type(model).train_step is not keras.Model.train_step:
            raise TypeError(
                "Expected a model that trains by Keras's own step, in whose place the trainer's "
                f"stands. Received: a {type(model).__name__}, which has a `train_step`"
            )
        if isinstance(terms, str) or not set(terms).isdisjoint(_TAKEN):
            raise ValueError(
                f"Expected `terms` to be names other than {', '.join(_TAKEN)}. "
                f"Received: terms={terms!r}"
            )
        super().__init__(name=f"{model.name}_trainer" if name is None else name)
        self.model = model
        self.with_index = bool(with_index)
        self._terms = Means(terms)
        # The names of what is logged of training steps alone.
        self._of_training = set(terms)
        self.built = True

    def call(self, inputs: Any, training: Any = None) -> Any:
        return self.model(inputs, training=training)

    def forward(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Mapping[str, tf.Tensor]]:
        """One pass over a batch, in training.

        Args:
            x, y, sample_weight: of the batch, as `fit` has them; the latter two may be None.

        Returns:
            The outputs of the model, and the terms to be added to its loss: scalars, each the mean
            over the batch, by their names.
        """
        return self.model(x, training=True), {}

    def fit(self, *arguments: Any, class_weight: Any = None, **options: Any) -> Any:
        """Train, as `keras.Model.fit` does.

        Raises:
            ValueError: class weights for a trainer that is `with_index`, whose batches have an
                index in their place.
        """
        if class_weight is None:
            return super().fit(*arguments, **options)
        if self.with_index:
            raise ValueError(
                "Expected no class weights beside an index: give sample weights, as (x, y, index, "
                f"sample_weight). Received: class_weight={class_weight!r}"
            )
        # Keras puts them behind the labels, where integers would be indices.
        weights = {label: float(weight) for label, weight in class_weight.items()}
        return super().fit(*arguments, class_weight=weights, **options)

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y, sample_weight, indices = self.unpack(data)
        if self.with_index and indices is None:
            raise ValueError(
                "Expected batches (x, y, index) in training, since the trainer is `with_index`, as "
                "kbnn.data.load(..., with_index=True) gives them. Received: no integers behind the "
                "labels"
            )
        with tf.GradientTape() as tape, batch_context.hand_over(y, indices):
            outputs, terms = self.forward(x, y, sample_weight)
            loss = self.compiled_loss(
                *(y, outputs, sample_weight),
                regularization_losses=[*self.model.losses, *terms.values()],
            )
        self._validate_target_and_loss(y, loss)
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        self.update_terms(terms, x)
        return self.compute_metrics(x, y, outputs, sample_weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        x, y, sample_weight, _ = self.unpack(data)
        logs = super().test_step((x, y, sample_weight))
        return {name: value for name, value in logs.items() if name not in self._of_training}

    def unpack(self, data: Any) -> tuple[Any, Any, Any, Any]:
        """A batch's inputs, labels, sample weights and indices; None for what it has not.

        Raises:
            ValueError: integers in the place of sample weights, for a trainer that is not
                `with_index`; a batch of more parts.
        """
        parts = tuple(data) if isinstance(data, tuple | list) else (data,)
        third = parts[2] if len(parts) > 2 else None
        is_index = _is_integer(third)
        if not self.with_index:
            if is_index:
                raise ValueError(
                    "Expected sample weights behind the labels, floating-point numbers. Received: "
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
        """Take the terms of a batch, whose inputs are x, into their means in the logs."""
        names = [mean.name for mean in self._terms.means]
        if set(names) != set(terms):
            raise ValueError(
                f"Expected `forward` to give the terms of the trainer, {names}. "
                f"Received: {list(terms)}"
            )
        count = tf.shape(tf.nest.flatten(x)[0])[0]
        for mean in self._terms.means:
            mean.update_state(terms[mean.name], sample_weight=count)

    @property
    def trainable_weights(self) -> list[Any]:
        # What is frozen in the model is frozen wherever else it is used.
        frozen = {id(weight) for weight in self.model.non_trainable_weights}
        return [weight for weight in super().trainable_weights if id(weight) not in frozen]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*super().metrics, *self._terms.means]

    def compile(self, *arguments: Any, **options: Any) -> None:
        # As the model's, so that losses and metrics by output find theirs.
        self.output_names = list(getattr(self.model, "output_names", None) or []) or None
        super().compile(*arguments, **options)

    def save_weights(self, filepath: Any, *arguments: Any, **options: Any) -> None:
        """Save the weights of the whole trainer, as `keras.Model.save_weights` does.

        Raises:
            ValueError: the old HDF5 format, which takes weights in an order that does not hold for
                layers that share them.
        """
        name = os.fspath(filepath)
        old = name.endswith((".h5", ".hdf5", ".keras")) or options.get("save_format") is not None
        if old and not name.endswith(".weights.h5"):
            raise ValueError(
                'Expected a path that ends in ".weights.h5", or one without such an ending for '
                f"TensorFlow's format. Received: filepath={name!r}"
            )
        super().save_weights(filepath, *arguments, **options)

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError(
            "Expected the model to be saved, by trainer.save or as trainer.model, or the weights "
            "of the trainer. Received: the trainer"
        )

    def save(self, filepath: Any, *arguments: Any, **options: Any) -> None:
        """Save the model that is trained, not the trainer, as `keras.Model.save` does."""
        self.model.save(filepath, *arguments, **options)


def model_of(model: keras.Model) -> keras.Model:
    """The model that ships: a trainer's host, or the model itself."""
    return model.model if isinstance(model, Trainer) else model


def _is_integer(value: Any) -> bool:
    return getattr(getattr(value, "dtype", None), "is_integer", False)


_TAKEN = ("loss", "real_loss")


class Means:
    """Means over an epoch, which Keras does not take for layers with weights to save."""

    def __init__(self, names: Collection[str]) -> None:
        self.means = [keras.metrics.Mean(name) for name in names]
