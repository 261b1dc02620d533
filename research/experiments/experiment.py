"""What an experiment is, and how experiments are grouped."""

import dataclasses
from typing import Any

from kbnn.runs import Data, Fit, Network, RunConfig
from kbnn.techniques import Technique

Settings = dict[str, Any]
"""Arguments of `make_config`."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A training that is repeated with several seeds, and what it is compared with.

    Attributes:
        config: the settings of the run.
        baselines: experiments with the same number of epochs. The first one differs only in what is
            in question; another one answers another question.
        equal_time: an experiment that takes about the same time, a teacher's training included.
        fine_tunes: the experiment whose networks the run starts from.
        teacher: the experiment whose network of the same seed teaches this one.
        teacher_terms: arguments of `kbnn.techniques.Distillation` besides the teacher.
    """

    config: RunConfig
    baselines: tuple[str, ...] = ()
    equal_time: str | None = None
    fine_tunes: str | None = None
    teacher: str | None = None
    teacher_terms: Settings = dataclasses.field(default_factory=dict)


def make_config(*, techniques: tuple[Technique, ...] = (), **settings: Any) -> RunConfig:
    """Return the settings of a run.

    Args:
        techniques: the techniques.
        **settings: arguments of `kbnn.runs.Data`, `Network` and `Fit`, whose names all differ.
    """
    parts = [
        kind(**{name: settings.pop(name) for name in kind.fields() if name in settings})
        for kind in (Data, Network, Fit)
    ]
    if settings:
        raise TypeError(f"Expected settings of a run. Received: {', '.join(settings)}")
    return RunConfig(*parts, techniques)


def group(
    prefix: str, shared: Settings, changes: dict[str, Settings], **relations: Any
) -> dict[str, Experiment]:
    """Return experiments that share settings and relations, by name.

    Args:
        prefix: beginning of their names.
        shared: settings that they share.
        changes: by the rest of the name, the settings that an experiment adds or changes.
        **relations: the other fields of `Experiment`.
    """
    return {
        prefix + name: Experiment(make_config(**{**shared, **change}), **relations)
        for name, change in changes.items()
    }
