"""The latent weights of a binary network as a real-valued network that teaches it."""

from collections.abc import Callable, Collection
from typing import Any

import tf_keras as keras

from kbnn.graph.roles import ROLES
from kbnn.techniques.latent_weights.terms import Distillation, LatentSupervision, RealPathLoss
from kbnn.techniques.latent_weights.twin import check_trainable, real_twin
from kbnn.techniques.latent_weights.two_path_trainer import TwoPathTrainer, has_classes


class LatentWeightTrainer(TwoPathTrainer):
    r"""Trains a binary network beside its real-valued twin, which has the same latent weights.

    Where the binary network computes `conv(sign(a), sign(W))`, the twin computes `conv(h(a), W)`,
    with a real activation h. Both paths run in training; the loss is

    $$L = \mathrm{loss}(y, z_b) + \sum_i \lambda_i S_i$$

    with terms of supervision $S_i$ that take the outputs and features of both. The gradients of
    both paths reach W, the twin's as `balance_gradient` has it. What is trained, and ships, is the
    binary network, `trainer.model`: it is left as it is, and knows nothing of the twin.

    Args:
        model: a built functional or Sequential model with binary layers of Larq's, without masks
            and without losses or metrics of its tensors.
        supervision: terms, each a `kbnn.losses.LatentSupervision`; by default the loss of the
            real-valued path and, where there are classes, `kbnn.losses.Distillation(0.3)`.
        activation: h, "hard_tanh" (the default) or as Keras takes activations.
        share: which real-valued layers (convolutions and dense layers) both paths use: "stem",
            those before the first binary layer, which are run once; "classifier", those behind
            the last; "shortcuts", those between. What is not shared the twin has a copy of.
            Normalization and the biases of binary layers are always its own, and begin anew.
        balance_gradient: whether the twin's gradient of a quantized kernel is multiplied by the
            kernel's mean |W|. In front of a normalization the gradient of W goes as 1 / |W|, and
            latent weights are small: otherwise the twin's is greater than that of the signs by far,
            and the kernels become those of a real-valued network.
        replace: called with each layer; returns the twin of a layer that is not known, a new
            layer, and None for the others.
        indexed: as for `Trainer`.
        name: of the trainer.

    Its metrics are those of the binary path, and with "real_" in front those of the twin. Layers of
    a nested model count as standing where that model does. The twin's copies have no regularizers.

    Raises:
        TypeError: the model is subclassed, or of Keras 3, or has a `train_step` of its own; a term
            of another kind.
        ValueError: a model that is not built or has no binary layer; masks, or losses or metrics of
            tensors in it; a layer with weights that no twin is known of, by name; names that are
            none; a term that does not fit the model's outputs.

    >>> import kbnn
    >>> model = kbnn.models.vgg_tiny(width=8)
    >>> trainer = kbnn.trainers.LatentWeightTrainer(model)
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
        share: Collection[str] = ("stem",),
        balance_gradient: bool = True,
        replace: Callable[[keras.layers.Layer], keras.layers.Layer | None] | None = None,
        with_index: bool = False,
        name: str | None = None,
    ) -> None:
        if supervision is None:
            check_trainable(model)
            usual = (RealPathLoss(), Distillation(0.3))
            supervision = [term for term in usual if has_classes(model) or not term.needs_classes]
        if not isinstance(share, Collection) or isinstance(share, str) or set(share) - set(ROLES):
            raise ValueError(
                f"Expected `share` to be of {', '.join(ROLES)}. Received: share={share!r}"
            )
        if not isinstance(balance_gradient, bool):
            raise TypeError(
                "Expected `balance_gradient` to be True or False. "
                f"Received: balance_gradient={balance_gradient!r}"
            )
        if replace is not None and not callable(replace):
            raise TypeError(
                f"Expected `replace` to be a function of a layer. Received: replace={replace!r}"
            )
        super().__init__(model, supervision, with_index=with_index, name=name)
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
        # In this order, so that operations in the model get the random numbers of plain training.
        binary = self._binary(x, training=training)
        real = self._real(binary["frontier"], training=training)
        return {
            "binary": binary["outputs"],
            "real": real["outputs"],
            "binary_features": binary["features"],
            "real_features": real["features"],
        }
