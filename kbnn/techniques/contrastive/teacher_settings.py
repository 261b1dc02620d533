"""The contrastive term against a twin or a teacher, as settings."""

import dataclasses
from typing import Any, ClassVar

from kbnn import data
from kbnn._settings import Settings, default_of, document_settings, setting
from kbnn.techniques.contrastive.contrastive_term import ContrastiveTerm
from kbnn.techniques.contrastive.teacher_contrast import RELEASED_WEIGHT, TeacherContrast


@document_settings
@dataclasses.dataclass(frozen=True)
class FeatureContrast(Settings):
    """A contrastive term between features of the network and features of its twin or teacher.

    The other samples of the batch are the negatives. `kbnn.losses.TeacherContrast` is the term.

    Args:
        {settings}

    Raises:
        ValueError: A value is not valid.

    Example:
        >>> import kbnn
        >>> contrast = kbnn.techniques.FeatureContrast(weight=0.2)
        >>> technique = kbnn.techniques.LatentWeights(
        ...     kbnn.techniques.Twin(teacher_contrast=contrast))
    """

    with_index: ClassVar[bool] = False

    weight: float = setting(default_of(TeacherContrast, "weight"), "weight of the term", above=0)
    temperature: float = setting(
        default_of(ContrastiveTerm, "temperature"), "temperature of the term", least=0.001
    )
    embedding: int = setting(
        default_of(ContrastiveTerm, "embedding"), "size of the embeddings", least=1
    )
    train_heads: bool = setting(
        default_of(ContrastiveTerm, "train_heads"),
        "whether the embedding heads are trained; if not, they stay random projections",
    )

    def for_data(self, data: data.DataInfo) -> "FeatureContrast":
        return self

    def term(self, weight: Any) -> TeacherContrast:
        """The term with a weight, a number or a schedule."""
        return TeacherContrast(
            weight,
            temperature=self.temperature,
            embedding=self.embedding,
            train_heads=self.train_heads,
        )


@document_settings
@dataclasses.dataclass(frozen=True)
class ReleasedCode(Settings):
    """The contrastive term with a teacher, with the settings of CMIM's released code.

    `kbnn.losses.TeacherContrast.released_code` is the term, and says what the settings are. It
    needs the sample indices.

    Args:
        {settings}

    Raises:
        ValueError: A value is not valid.

    Example:
        >>> import kbnn
        >>> technique = kbnn.techniques.Distillation(
        ...     "runs/float", teacher_contrast=kbnn.techniques.ReleasedCode())  # doctest: +SKIP
    """

    with_index: ClassVar[bool] = True
    weight: ClassVar[float] = RELEASED_WEIGHT

    rows: int | None = setting(
        None, "the number of training samples", least=1, unset="taken from the data, in a run"
    )
    classes: int | None = setting(
        None, "the number of classes", least=2, unset="taken from the data, in a run"
    )
    per_anchor: bool = setting(
        False,
        "whether to draw negatives separately for each sample, as the code does, which takes much "
        "longer; by default there is one draw for the batch",
    )

    def for_data(self, data: data.DataInfo) -> "ReleasedCode":
        return self.replace(rows=self.rows or data.train_size, classes=self.classes or data.classes)

    def term(self, weight: Any) -> TeacherContrast:
        """The term with a weight, a number or a schedule.

        Raises:
            ValueError: `rows` or `classes` are not known.
        """
        if self.rows is None or self.classes is None:
            raise ValueError(
                "Expected `rows` and `classes`, the numbers of training samples and classes: "
                f"teacher_contrast=kbnn.techniques.ReleasedCode(rows=..., classes=...). "
                f"Received: {self}"
            )
        return TeacherContrast.released_code(
            self.rows, self.classes, weight=weight, per_anchor=self.per_anchor
        )
