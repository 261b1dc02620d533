"""A real-valued path as the other view of a contrastive term."""

from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from kbnn import _checks
from kbnn.techniques.contrastive.contrastive_term import DEFAULT_WEIGHT, ContrastiveTerm
from kbnn.techniques.latent_weights.terms import LatentSupervision, Paths
from kbnn.training import batch_context


class TeacherContrast(LatentSupervision):
    r"""Contrasts the features of a binary network with the features of a real-valued path.

    $$\lambda\, L_{contrast}\big(f_B, \mathrm{sg}(f_R)\big)$$

    The real-valued path gets no gradient; the heads of both views are trained. In a
    `kbnn.trainers.LatentWeightTrainer` the path is the network's twin, and in a
    `kbnn.trainers.DistillationTrainer` it is the teacher. In validation the term is 0.

    Args:
        weight: lambda, a number or a schedule, as for `LatentSupervision`.
        layers: Names of the layers whose outputs are compared. Each has a term, and the result is
            their mean. By default it is the last of the layers in front of binary layers and of the
            classifier.
        labelled: Whether samples with equal labels are not negatives of each other.
        name: The name of the term in the logs.
        **contrast: The other arguments of `kbnn.layers.ContrastiveTerm`: `negatives`,
            `temperature`, `embedding`, `pooling`.

    Raises:
        ValueError: `layers` are not names, as `ContrastiveTerm`, or, in training, the paths have no
            features.

    Example:
        >>> import kbnn
        >>> model = kbnn.models.vgg_tiny(width=8)
        >>> terms = [kbnn.losses.RealPathLoss(), kbnn.losses.TeacherContrast()]
        >>> trainer = kbnn.trainers.LatentWeightTrainer(model, terms)

    Source: the released code of CMIM (kbnn/techniques/contrastive/README.md). Departure: it does
    not train the heads.
    """

    def __init__(
        self,
        weight: Any = DEFAULT_WEIGHT,
        layers: Iterable[str] | None = None,
        *,
        labelled: bool = True,
        name: str = "teacher_contrast",
        **contrast: Any,
    ) -> None:
        self.layers: tuple[str, ...] | None = None
        if layers is not None:
            self.layers = _checks.names("layers", layers, required=True)
        self.trainable_layers = [
            ContrastiveTerm(**contrast, name=f"teacher_contrast_{i}")
            for i in range(len(self.layers or "1"))
        ]
        super().__init__(weight, name)
        self.labelled = bool(labelled)

    def build(
        self,
        binary_features: Mapping[str, tf.TensorShape],
        real_features: Mapping[str, tf.TensorShape],
    ) -> None:
        for name, contrast in self._term_of_layers(binary_features):
            if not contrast.built:
                with tf.name_scope(contrast.name):
                    contrast.build([binary_features[name], real_features[name]])

    def __call__(self, paths: Paths) -> tf.Tensor:
        if not paths.real_features or not paths.binary_features:
            raise ValueError(
                f"Expected features of both paths for {self.name!r}. Received: none. Pass `layers`."
            )
        batch = batch_context.current()
        if batch is batch_context.NO_BATCH:
            return tf.zeros([])
        terms = [
            contrast.batch_loss(
                paths.binary_features[name],
                tf.stop_gradient(paths.real_features[name]),
                paths.labels if self.labelled else None,
                batch.indices,
            )
            for name, contrast in self._term_of_layers(paths.binary_features)
        ]
        return tf.add_n(terms) / len(terms)

    def _term_of_layers(self, features: Mapping[str, Any]) -> list[tuple[str, ContrastiveTerm]]:
        """Return the compared layers, each with its term."""
        names = list(features)[-1:] if self.layers is None else self.layers
        return list(zip(names, self.trainable_layers, strict=True))
