"""A trainer whose second path is the real-valued twin of the model."""

from collections.abc import Callable, Collection
from typing import Any

import tf_keras as keras

from kbnn import _checks
from kbnn.graph.roles import ROLES
from kbnn.techniques.latent_weights.class_outputs import has_classes
from kbnn.techniques.latent_weights.terms import Distillation, LatentSupervision, RealPathLoss
from kbnn.techniques.latent_weights.twin import check_trainable, real_twin
from kbnn.techniques.latent_weights.two_path_trainer import TwoPathTrainer


class LatentWeightTrainer(TwoPathTrainer):
    r"""Trains a binary network and its real-valued twin, which has the same latent weights.

    $$z_b = \mathrm{conv}(\mathrm{sign}(a), \mathrm{sign}(W)), \qquad
      z_r = \mathrm{conv}(h(a), W), \qquad
      L = \lambda_{labels} L_{task}(z_b) + \sum_i \lambda_i S_i$$

    Both paths run in training, and the terms $S_i$ compare their outputs and features. The
    gradients of both paths reach W. What you train and ship is the binary network, `trainer.model`,
    which does not know the twin.

    Args:
        model: A built functional or Sequential model with Larq's binary layers, without masks and
            without losses or metrics of its tensors.
        supervision: The terms, each a `kbnn.losses.LatentSupervision`. By default they are
            `kbnn.losses.RealPathLoss()` and, if the outputs are classes,
            `kbnn.losses.Distillation(0.3)`.
        label_weight: The weight of the compiled loss of the binary network, a number of at least 0
            or a `keras.optimizers.schedules.LearningRateSchedule`.
        activation: h, "hard_tanh" or an activation of Keras.
        share: The real-valued convolutions and dense layers that both paths use. "stem": the layers
            before the first binary one, which run once. "classifier": the layers behind the last
            binary one. "shortcuts": the layers in between. The twin copies the others.
            Normalizations and the biases of binary layers are always the twin's own, and new.
        balance_gradient: Whether to multiply the twin's gradient of a quantized kernel by the mean
            |W|. In front of a normalization the gradient is proportional to 1 / |W|, and latent
            weights are small. Without the factor the gradient of the twin is far larger than the
            gradient of the signs, and the kernels become a real-valued network's.
        replace: A function that is called with each layer. It returns a new layer, the twin of a
            layer that is not supported, and None for others.
        with_index: As for `Trainer`.
        name: The name of the trainer.

    The logs have the twin's metrics with the prefix "real_". A layer in a nested model has the role
    of the nested model. The twin's copies have no regularizers.

    Raises:
        TypeError: The model is subclassed, belongs to Keras 3 or has its own `train_step`, or a
            term has another type.
        ValueError: The model is not built, has no binary layer, or has masks or losses or metrics
            of its tensors. A layer has no supported twin. A term names unknown layers or does not
            fit the model's outputs. `label_weight` is out of range, or it is 0 and so is every
            weight of a term that trains the binary network.

    Example:
        >>> import kbnn
        >>> model = kbnn.models.vgg_tiny(width=8)
        >>> trainer = kbnn.trainers.LatentWeightTrainer(model)
        >>> trainer.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        >>> trainer.fit(train, epochs=20)                                      # doctest: +SKIP
        >>> kbnn.converters.convert(model, "model.tflite")                     # doctest: +SKIP

    Source: the abstract of LW (kbnn/techniques/latent_weights/README.md): the latent weights are in
    the graph as a real-valued feature extractor that aids the binary network. The twin, what it
    shares, and every term are kbnn's.
    """

    def __init__(
        self,
        model: keras.Model,
        supervision: Collection[LatentSupervision] | None = None,
        *,
        label_weight: Any = 1.0,
        activation: Any = "hard_tanh",
        share: Collection[str] = ("stem",),
        balance_gradient: bool = True,
        replace: Callable[[keras.layers.Layer], keras.layers.Layer | None] | None = None,
        with_index: bool = False,
        name: str | None = None,
    ) -> None:
        if supervision is None:
            check_trainable(model)
            supervision = [RealPathLoss()]
            if has_classes(model):
                supervision.append(Distillation(0.3))
        share = _checks.names("share", share, valid=ROLES)
        _checks.boolean("balance_gradient", balance_gradient)
        if replace is not None and not callable(replace):
            raise _checks.refuse("replace", "a function of a layer, or None", replace)
        super().__init__(
            model, supervision, label_weight=label_weight, with_index=with_index, name=name
        )
        twin = real_twin(
            model,
            activation=activation,
            share=share,
            features=self.feature_layers,
            balance_gradient=balance_gradient,
            replace=replace,
        )
        self.twin = twin.twin
        self._binary = twin.binary
        self._real = twin.real
        self._build_terms(self._binary, self._real)

    @property
    def second_path(self) -> keras.Model:
        return self.twin

    def paths(self, x: Any, training: bool = False) -> dict[str, Any]:
        # First the model, whose random operations then draw the numbers of plain training.
        binary = self._binary(x, training=training)
        real = self._real(binary["frontier"], training=training)
        return {
            "binary": binary["outputs"],
            "real": real["outputs"],
            "binary_features": binary["features"],
            "real_features": real["features"],
        }
