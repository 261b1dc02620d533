"""A real-valued path as the other view of a contrastive term."""

from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from kbnn.techniques.contrastive.contrastive_term import DEFAULT_WEIGHT, ContrastiveTerm
from kbnn.techniques.latent_weights.terms import LatentSupervision, Paths
from kbnn.training import batch_context


class TeacherContrast(LatentSupervision):
    r"""The contrastive term between a binary network's features and those of a real-valued path.

    $$\lambda\, L_{contrast}\big(f_B, \mathrm{sg}(f_R)\big)$$

    No gradient goes to the real-valued path; the heads of both are trained. In a
    `kbnn.trainers.LatentWeightTrainer` that path is the network's twin, in a
    `kbnn.trainers.DistillationTrainer` a network that was trained before.

    Args:
        weight: lambda, as for `LatentSupervision`; by default that of `ContrastiveTerm`.
        layers: names of the layers whose outputs are compared, each with a term of its own, whose
            mean is taken; by default the last of those in front of the binary layers and of the
            classifier.
        labelled: whether samples of one class are no negatives of each other.
        name: of the term in the logs.
        **contrast: the other arguments of `kbnn.layers.ContrastiveTerm`.

    In validation it is 0.

    Raises:
        ValueError: no names in `layers`; as `ContrastiveTerm`; in training, paths without features.

    >>> import kbnn
    >>> model = kbnn.models.vgg_tiny(width=8)
    >>> terms = [kbnn.losses.RealPathLoss(), kbnn.losses.TeacherContrast()]
    >>> trainer = kbnn.trainers.LatentWeightTrainer(model, terms)

    Source: the code of CMIM (docs/contrastive.md), whose heads are not trained.
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
        if isinstance(layers, Iterable) and not isinstance(layers, str):
            self.layers = tuple(layers)
        if layers is not None and not self.layers:
            raise ValueError(f"Expected `layers` to be names of layers. Received: {layers!r}")
        self.trained = [
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
        for name, contrast in self._compared(binary_features):
            if not contrast.built:
                with tf.name_scope(contrast.name):
                    contrast.build([binary_features[name], real_features[name]])

    def __call__(self, paths: Paths) -> tf.Tensor:
        if not paths.real_features or not paths.binary_features:
            raise ValueError(
                f"Expected features of both paths for {self.name!r}. Received: none. Give `layers`."
            )
        batch = batch_context.current()
        if batch is batch_context.NOTHING:
            return tf.zeros([])
        terms = [
            contrast.term(
                paths.binary_features[name],
                tf.stop_gradient(paths.real_features[name]),
                paths.labels if self.labelled else None,
                batch.indices,
            )
            for name, contrast in self._compared(paths.binary_features)
        ]
        return tf.add_n(terms) / len(terms)

    def _compared(self, features: Mapping[str, Any]) -> list[tuple[str, ContrastiveTerm]]:
        """The layers whose outputs are compared, and the term of each."""
        names = list(features)[-1:] if self.layers is None else self.layers
        return list(zip(names, self.trained, strict=True))
