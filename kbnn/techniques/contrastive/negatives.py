"""Where the negatives of a contrastive term come from: settings that check themselves."""

import dataclasses
from typing import Any, ClassVar

from kbnn import _checks
from kbnn._settings import Settings, document_settings, setting


@dataclasses.dataclass(frozen=True)
class SameBatch(Settings):
    """The negatives of a sample are the other samples of its batch.

    The loss is `kbnn.losses.info_nce_loss`. This source has no settings, keeps nothing between
    batches and needs no sample indices. Its alias is "batch" or "same_batch".

    Example:
        >>> import kbnn
        >>> kbnn.layers.ContrastiveTerm(kbnn.techniques.SameBatch()).negatives
        SameBatch()

    Source: kbnn's choice; the CMIM code uses a memory bank.
    """

    source: ClassVar[str] = "batch"


@document_settings
@dataclasses.dataclass(frozen=True)
class EmbeddingQueue(Settings):
    """The negatives of a sample are the most recent embeddings of earlier batches.

    The loss is `kbnn.losses.info_nce_loss`. Each head has a momentum head, a moving average of its
    weights over the training steps, which is not trained. The momentum heads compute the embeddings
    in the queue, and also the positives, which get no gradient. Without them, the critic could tell
    new embeddings from old ones instead of one sample from another. The features in front of the
    heads are those of the step that stored them.

    The first batch finds an empty queue and has a loss of 0. This source needs no sample indices.
    Its alias is "queue".

    Args:
        {settings}

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> import kbnn
        >>> queue = kbnn.techniques.EmbeddingQueue(count=256)
        >>> model = kbnn.techniques.with_contrast(kbnn.models.vgg_tiny(width=8), negatives=queue)

    Source: the queue and the momentum encoder of "Momentum Contrast" (He et al., 2020). Departures:
    only the heads have a moving average, not the network in front of them. The use between binary
    and real activations is kbnn's.
    """

    source: ClassVar[str] = "queue"

    count: int = setting(4096, "the number of embeddings that the queue keeps", least=1)
    head_momentum: float = setting(
        0.99,
        "the share of a momentum head's weights that stays in a training step; with 0 the heads "
        "themselves take their place",
        least=0,
        most=0.9999,
    )


@document_settings
@dataclasses.dataclass(frozen=True)
class MemoryBank(Settings):
    """The negatives of a sample are drawn from running embeddings of all training samples.

    The loss is `kbnn.losses.nce_loss`. The positive of a sample's binary anchor is the sample's
    *real* row, and the positive of its real anchor is its *binary* row, so positives and negatives
    are equally old. When the training sees a sample for the first time, its rows are random, and so
    is its positive.

    A bank needs the sample indices, which a `kbnn.trainers.Trainer(model, with_index=True)` passes
    to it. Its alias is "bank".

    Args:
        {settings}

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> import kbnn
        >>> bank = kbnn.techniques.MemoryBank(rows=60_000)
        >>> model = kbnn.techniques.with_contrast(kbnn.models.vgg_tiny(width=8), negatives=bank)
        >>> trainer = kbnn.trainers.Trainer(model, with_index=True)

    Source: the CMIM code, the positives included. Its memory comes from "Contrastive Representation
    Distillation" (Tian et al., 2020). It draws per anchor; one draw for the batch is kbnn's.
    """

    source: ClassVar[str] = "bank"

    rows: int | None = setting(
        None,
        "the number of training samples, which a `ContrastiveTerm` needs",
        least=1,
        unset="taken from the data, in a run",
    )
    count: int = setting(4096, "the number of negatives to draw", least=1)
    momentum: float = setting(
        0.5, "the share of a row that stays when its sample is seen again", least=0, most=1
    )
    per_anchor: bool = setting(
        False,
        "whether to draw negatives separately for each sample, from other classes only, which "
        "sorts all rows for each sample and takes much longer; by default there is one "
        "draw for the batch, from which each sample leaves out its own class",
    )
    seed: int = setting(0, "the seed of the draws")


Negatives = SameBatch | EmbeddingQueue | MemoryBank
SOURCES = {kind.source: kind for kind in (SameBatch, EmbeddingQueue, MemoryBank)}
_ALIASES: dict[str, type[Negatives]] = {**SOURCES, "same_batch": SameBatch}


def resolve_negatives(value: Any) -> Negatives:
    """Return the settings that an object or an alias means.

    Raises:
        ValueError: The value is neither of the two.
    """
    if isinstance(value, Negatives):
        return value
    if not isinstance(value, str) or value not in _ALIASES:
        kinds = ", ".join(f"kbnn.techniques.{kind.__name__}(...)" for kind in SOURCES.values())
        raise _checks.refuse("negatives", f"{kinds}, or one of {', '.join(_ALIASES)}", value)
    return _ALIASES[value]()


def negatives_config(negatives: Negatives) -> dict[str, Any]:
    """Return settings as JSON holds them: the source and its options."""
    return {"source": negatives.source, **dataclasses.asdict(negatives)}


def load_negatives(config: dict[str, Any]) -> dict[str, Any]:
    """Return a layer's config with its negatives as an object.

    Configs of earlier versions have the source's name next to the options of all sources. Their
    queues have no momentum heads.
    """
    config = dict(config)
    saved = config.get("negatives")
    if isinstance(saved, dict):
        options = dict(saved)
        kind = SOURCES[options.pop("source")]
        config["negatives"] = kind(**{**_earlier_options(kind), **options})
    elif isinstance(saved, str) and saved in SOURCES:
        kind = SOURCES[saved]
        flat = {
            field.name: config.pop(field.name)
            for field in dataclasses.fields(MemoryBank)
            if field.name in config
        }
        own = {field.name for field in dataclasses.fields(kind)}
        options = {name: flat[name] for name in flat.keys() & own}
        config["negatives"] = kind(**{**_earlier_options(kind), **options})
    return config


def _earlier_options(kind: type[Negatives]) -> dict[str, Any]:
    """Return the options that a config of an earlier version lacks."""
    return {"head_momentum": 0.0} if kind is EmbeddingQueue else {}
