"""The contrastive term as a technique of a run."""

import dataclasses
import pathlib

import tf_keras as keras

from kbnn import data
from kbnn._settings import default_of, document_settings, setting
from kbnn.techniques.contrastive.contrastive_term import ContrastiveTerm
from kbnn.techniques.contrastive.monitor import ContrastMonitor
from kbnn.techniques.contrastive.negatives import EmbeddingQueue, MemoryBank, SameBatch
from kbnn.techniques.contrastive.with_contrast import DEFAULT_DECAY, with_contrast
from kbnn.techniques.technique import Technique
from kbnn.training.trainer import Trainer


@document_settings
@dataclasses.dataclass(frozen=True)
class Contrastive(Technique):
    """A contrastive term maximises the mutual information of binary and real activations.

    Args:
        {settings}

    Raises:
        ValueError: A value is not valid.

    Example:
        >>> import kbnn
        >>> technique = kbnn.techniques.Contrastive(weight=0.2)
        >>> model = technique.prepare(kbnn.models.vgg_tiny(width=8))
        >>> trainer = technique.trainer(model, steps=1000)
        >>> trainer.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

    Source: docs/contrastive.md.
    """

    negatives: SameBatch | EmbeddingQueue | MemoryBank = setting(
        SameBatch(), "where the negatives of a sample come from"
    )
    weight: float = setting(default_of(ContrastiveTerm, "weight"), "weight of the term", least=0)
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
    layers: str | tuple[str, ...] = setting(
        default_of(with_contrast, "layers"),
        "layers whose inputs get the term",
        choices=("last", "all"),
    )
    decay: float = setting(
        DEFAULT_DECAY,
        "with several layers, the weight at a layer divided by the weight at the next layer",
        above=0,
        most=1,
    )

    @property
    def with_index(self) -> bool:
        return isinstance(self.negatives, MemoryBank)

    def prepare(self, model: keras.Model, data: data.DataInfo | None = None) -> keras.Model:
        negatives = self.negatives
        if isinstance(negatives, MemoryBank) and negatives.rows is None and data is not None:
            negatives = negatives.replace(rows=data.train_size)
        is_one = self.layers == "last" or (self.layers != "all" and len(set(self.layers)) == 1)
        return with_contrast(
            model,
            self.layers,
            decay=None if is_one else self.decay,
            weight=self.weight,
            temperature=self.temperature,
            embedding=self.embedding,
            train_heads=self.train_heads,
            negatives=negatives,
        )

    def trainer(self, model: keras.Model, steps: int, *, with_index: bool = False) -> keras.Model:
        # It passes labels and indices to the term.
        return Trainer(model, with_index=with_index or self.with_index)

    def callbacks(
        self,
        splits: data.Splits,
        folder: pathlib.Path,
        pretrained: keras.Model | None = None,
    ) -> list[keras.callbacks.Callback]:
        return [ContrastMonitor()]

    def is_only_for_training(self, layer: keras.layers.Layer) -> bool:
        return isinstance(layer, ContrastiveTerm)
