"""A real-valued path as the other view of a contrastive term."""

from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from kbnn import _checks
from kbnn.techniques.contrastive.contrastive_term import DEFAULT_WEIGHT, ContrastiveTerm
from kbnn.techniques.contrastive.negatives import MemoryBank
from kbnn.techniques.latent_weights.terms import LatentSupervision, Paths
from kbnn.training import batch_context

RELEASED_WEIGHT = 3.2
"""lambda in the released code of CMIM."""

_RELEASED_COUNT = 4096


class TeacherContrast(LatentSupervision):
    r"""Contrasts the features of a binary network with the features of a real-valued path.

    $$\lambda\, L_{contrast}\big(f_B, \mathrm{sg}(f_R)\big)$$

    The real-valued path gets no gradient. In a `kbnn.trainers.LatentWeightTrainer` the path is the
    network's twin, and in a `kbnn.trainers.DistillationTrainer` it is the teacher. In validation
    the term is 0.

    Args:
        weight: lambda, a number or a schedule, as for `LatentSupervision`.
        layers: Names of the layers whose outputs are compared. Each has a term, and the result is
            their mean. By default it is the last of the layers in front of binary layers and of the
            classifier.
        labelled: Whether samples with equal labels are not negatives of each other.
        name: The name of the term in the logs.
        **contrast: The other arguments of `kbnn.layers.ContrastiveTerm`: `negatives`,
            `temperature`, `embedding`, `pooling`, `train_heads`, `normalize`.

    Raises:
        ValueError: `layers` are not names, as `ContrastiveTerm`, or, in training, the paths have no
            features.

    Example:
        >>> import kbnn
        >>> model = kbnn.models.vgg_tiny(width=8)
        >>> terms = [kbnn.losses.RealPathLoss(), kbnn.losses.TeacherContrast()]
        >>> trainer = kbnn.trainers.LatentWeightTrainer(model, terms)

    Source: the released code of CMIM (kbnn/techniques/contrastive/README.md). Its settings are
    those of `TeacherContrast.released_code`.
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

    @classmethod
    def released_code(
        cls,
        rows: int,
        classes: int,
        *,
        weight: Any = RELEASED_WEIGHT,
        per_anchor: bool = False,
        name: str = "teacher_contrast",
    ) -> "TeacherContrast":
        """Return the term with the settings of CMIM's released code.

        It compares the features in front of the classifier, pooled and batch-normalized. A memory
        bank of momentum 0.5 provides the positives and 4,096 negatives of other classes. The heads,
        of size 128, stay random projections. lambda is 3.2 and tau is 0.1. The teacher's anchors
        are half of the loss. They have no gradient, because neither the teacher nor the heads are
        trained.

        Put it as the only term in a `kbnn.trainers.DistillationTrainer(..., with_index=True)`.

        Args:
            rows: The number of training samples.
            classes: The number of classes, for the size of the draw.
            weight: As for `TeacherContrast`.
            per_anchor: As for `kbnn.techniques.MemoryBank`. The code draws per anchor. By default
                there is one draw for the batch, so large that a sample has 4,096 negatives of other
                classes on average, if all classes have the same size.
            name: The name of the term in the logs.

        Raises:
            ValueError: `rows` is not a positive integer, or `classes` is below 2.

        Example:
            >>> import kbnn
            >>> term = kbnn.losses.TeacherContrast.released_code(rows=50_000, classes=100)
            >>> term.weight
            3.2

        Source: the released code of CMIM. Departures: the draw; the batch normalization, which is a
        trained layer of both networks there; and the classes of the bank's rows, which are known
        here once a sample has been seen. The code trains networks with centred and normalized
        weights, by the error decay estimator, which are not part of this term.
        """
        _checks.integer("classes", classes, least=2)
        drawn = _RELEASED_COUNT if per_anchor else round(_RELEASED_COUNT * classes / (classes - 1))
        return cls(
            weight,
            negatives=MemoryBank(rows, drawn, momentum=0.5, per_anchor=per_anchor),
            temperature=0.1,
            embedding=128,
            pooling="average",
            train_heads=False,
            normalize=True,
            name=name,
        )

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
