"""A model's training step as an object of its own, around the model that ships."""

import os
from collections.abc import Collection, Mapping
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn import _keras_check


class Trainer(keras.Model):
    """Trains a model with further loss terms, and leaves the model itself as it is.

    The train step is Keras's, with the terms of `forward` added to the loss. A subclass overrides
    `forward`; by itself a trainer trains as the model does, to the bit. It is a `keras.Model`:
    `compile`, `fit`, callbacks, class and sample weights, mixed precision and distribution
    strategies are Keras's. Weights that are frozen in the model stay as they are.

    `save`, and `ModelCheckpoint` by it, writes the model alone, which needs no trainer any more;
    `save_weights`, `ModelCheckpoint(save_weights_only=True)` and `BackupAndRestore` cover the whole
    of the trainer.

    Args:
        model: a built model, `trainer.host` from then on. The two share their weights: predict
            with, evaluate, freeze and convert the model.
        terms: names of the terms that `forward` gives, for the logs.
        name: of the trainer; the model's with "_trainer" by default.

    Raises:
        TypeError: the model is not a Keras 2 model.
        ValueError: the model is not built.

    >>> import kbnn
    >>> model = kbnn.models.vgg_tiny(width=8)
    >>> trainer = kbnn.training.Trainer(model)
    >>> trainer.compile("adam", "sparse_categorical_crossentropy")
    """

    def __init__(
        self, model: keras.Model, *, terms: Collection[str] = (), name: str | None = None
    ) -> None:
        _keras_check.check_model(model)
        _keras_check.check_built(model)
        if isinstance(model, Trainer):
            raise TypeError(
                "Expected the model that is to be trained. Received: a trainer, whose terms would "
                "be lost. Give its model, `trainer.host`."
            )
        if isinstance(terms, str) or not set(terms).isdisjoint(_TAKEN):
            raise ValueError(
                f"Expected `terms` to be names other than {', '.join(_TAKEN)}. "
                f"Received: terms={terms!r}"
            )
        super().__init__(name=f"{model.name}_trainer" if name is None else name)
        self.host = model
        self._terms = Means(terms)
        self.built = True

    def call(self, inputs: Any, training: Any = None) -> Any:
        return self.host(inputs, training=training)

    def forward(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Mapping[str, tf.Tensor]]:
        """One pass over a batch, in training.

        Args:
            x, y, sample_weight: of the batch, as `fit` has them; the latter two may be None.

        Returns:
            The outputs of the model, and the terms to be added to its loss: scalars, each the mean
            over the batch, by their names.
        """
        return self.host(x, training=True), {}

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            outputs, terms = self.forward(x, y, sample_weight)
            loss = self.compiled_loss(
                *(y, outputs, sample_weight),
                regularization_losses=[*self.host.losses, *terms.values()],
            )
        self._validate_target_and_loss(y, loss)
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        self.update_terms(terms, x)
        return self.compute_metrics(x, y, outputs, sample_weight)

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
        frozen = {id(weight) for weight in self.host.non_trainable_weights}
        return [weight for weight in super().trainable_weights if id(weight) not in frozen]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*super().metrics, *self._terms.means]

    def compile(self, *arguments: Any, **options: Any) -> None:
        # As the model's, so that losses and metrics by output find theirs.
        self.output_names = list(getattr(self.host, "output_names", None) or []) or None
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
            "Expected the model to be saved, by trainer.save or as trainer.host, or the weights of "
            "the trainer. Received: the trainer"
        )

    def save(self, filepath: Any, *arguments: Any, **options: Any) -> None:
        """Save the model that is trained, not the trainer, as `keras.Model.save` does."""
        self.host.save(filepath, *arguments, **options)


def host_of(model: keras.Model) -> keras.Model:
    """The model that ships: a trainer's host, or the model itself."""
    return model.host if isinstance(model, Trainer) else model


_TAKEN = ("loss", "real_loss")


class Means:
    """Means over an epoch, which Keras does not take for layers with weights to save."""

    def __init__(self, names: Collection[str]) -> None:
        self.means = [keras.metrics.Mean(name) for name in names]
