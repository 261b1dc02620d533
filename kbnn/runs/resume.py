"""Runs that begin with another run: resumed, going on with its network, or taught by it."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kbnn._settings.values import text_of
from kbnn.runs.assignments import assign
from kbnn.runs.datasets import Data
from kbnn.runs.errors import InputError
from kbnn.runs.fit import Fit
from kbnn.runs.folder import RunFolder, versions
from kbnn.runs.network import QUANTIZERS, Network
from kbnn.runs.run_config import RunConfig
from kbnn.techniques.technique import Technique
from kbnn.techniques.trained_run import TrainedRun


def continue_from(
    folder: str | os.PathLike[str],
    *,
    fit: Fit = Fit(),
    techniques: Sequence[Technique] = (),
    **network: Any,
) -> RunConfig:
    """The settings of a run that starts from the network of a finished run.

    It has that run's data and holds out the same images. The network keeps its settings, except for
    those that you give. It also keeps its quantizers, and the techniques that they belong to,
    unless you or a technique give it different ones.

    Args:
        folder: The folder of the finished run.
        fit: How the network is trained now.
        techniques: The techniques of the new run.
        **network: Settings of `kbnn.runs.Network` that change: quantizers, `normalization`,
            `kernel_constraint`, and activations such as `end_activation`.

    Raises:
        ValueError: There is no finished run; quantizers from two sources.

    Example:
        >>> from kbnn.runs import Fit, continue_from
        >>> from kbnn.techniques import NoisySupervision
        >>> config = continue_from(                            # doctest: +SKIP
        ...     "runs/first", fit=Fit(epochs=5), techniques=[NoisySupervision()]
        ... )

    Two stages, first with real-valued kernels and then with binary ones:

        >>> config = continue_from("runs/stage_1", kernel_quantizer="ste_sign")    # doctest: +SKIP
    """
    first = RunFolder(folder).config()
    names = {each.kind() for each in techniques}
    kept = [each for each in _kept_techniques(first) if each.kind() not in names]
    return _combine(
        first.data.replace(split_seed=first.split_seed),
        first.network.replace(**network, pretrained=TrainedRun(os.fspath(folder))),
        fit,
        kept=kept,
        new=techniques,
        given=set(network) & set(QUANTIZERS),
    )


def config_from_texts(
    folder: RunFolder,
    techniques: Sequence[str],
    texts: Mapping[str, str],
    *,
    first: str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> RunConfig:
    """The settings of a run whose settings are given as text.

    Args:
        folder: The folder of the run.
        techniques: As for `assign`.
        texts: As for `assign`.
        first: The folder of the finished run whose network the run starts from.
        resume: Whether the run is the one in the folder.

    Raises:
        ValueError: Settings that are not valid, or that do not fit the other run.
    """
    if first is not None and resume:
        raise InputError("Expected `pretrained` or `resume`. Received: both")
    if resume:
        saved = folder.config_to_resume()
        return RunConfig.from_dict(assign(saved.to_dict(), techniques, texts))
    if first is not None:
        base = continue_from(first).to_dict()
        parts = RunConfig.parts_from_dict(assign({**base, "fit": {}}, techniques, texts))
        found: tuple[Technique, ...] = parts.pop("techniques")
        return _combine(
            **parts,
            kept=[each for each in found if each.kind() not in techniques],
            new=[each for each in found if each.kind() in techniques],
            given={name for name in QUANTIZERS if {name, f"network.{name}"} & texts.keys()},
        )
    return _hold_out_for_teacher(RunConfig.from_dict(assign({}, techniques, texts)))


def _kept_techniques(first: RunConfig) -> list[Technique]:
    """The techniques that are built into a network, unless its quantizers are replaced."""
    return [each for each in first.techniques if each.builder_arguments()]


def _combine(
    data: Data,
    network: Network,
    fit: Fit,
    *,
    kept: Sequence[Technique],
    new: Sequence[Technique],
    given: set[str],
) -> RunConfig:
    """The settings of a run that continues another one, without the quantizers that are replaced.

    Args:
        data: Its data.
        network: Its network, with the quantizers of the first run or the given ones.
        fit: Its training.
        kept: The techniques of the first run.
        new: Further techniques.
        given: The names of quantizers in `network` that are given.
    """
    replaced = given.union(*(each.builder_arguments() for each in new)) & set(QUANTIZERS)
    for name in replaced:
        kept = [left for each in kept if (left := each.without(name)) is not None]
    techniques = (*kept, *new)
    own = set().union(*(each.builder_arguments() for each in techniques)) & set(QUANTIZERS)
    return RunConfig(
        data,
        network.replace(**dict.fromkeys(own - given)),
        fit,
        techniques,
    )


def resume_config(
    run: RunFolder, config: RunConfig | None, note: Callable[[str], None] = lambda message: None
) -> RunConfig:
    """The settings of a run that is resumed.

    Raises:
        InputError: `config` is given and differs from them.
    """
    saved = run.config_to_resume()
    if config is not None and config != saved:
        different = [
            f"`{name}` {text_of(ours)} (the run has {text_of(theirs)})"
            for name, (ours, theirs) in config.differences(saved).items()
        ]
        raise InputError(
            f"Expected the settings of the run in {run.path}, or none of them. "
            f"Received: {', '.join(different)}. Start another run for other settings."
        )
    begun, now = run.versions(), versions()
    if begun != now:
        changed = [f"{name} {begun.get(name)} -> {now[name]}" for name in now]
        note(
            "The run was started with different versions, so its weights may differ from an "
            f"uninterrupted run's: {', '.join(changed)}."
        )
    return saved


def _hold_out_for_teacher(config: RunConfig) -> RunConfig:
    """Hold out the images that the run's teacher has not seen, unless the settings say which."""
    if config.data.split_seed is not None or not config.teachers:
        return config
    teacher = RunFolder(config.teachers[0].directory).config()
    return dataclasses.replace(config, data=config.data.replace(split_seed=teacher.split_seed))


def check_teachers(config: RunConfig) -> None:
    """Raise InputError unless the networks that teach a run know its images, but none held out."""
    for run in config.teachers:
        teacher = RunFolder(run.directory).config()
        for part, name in (
            ("data", "dataset"),
            ("data", "image_size"),
            ("data", "validation"),
            ("network", "preprocessing"),
        ):
            own, received = (getattr(getattr(each, part), name) for each in (config, teacher))
            if own != received:
                raise InputError(
                    f"Expected a teacher with this run's `{part}.{name}`, {own}. "
                    f"Received: {received} in {run.directory}"
                )
        places = [each.data.directory for each in (config, teacher)]
        if config.data.dataset == "folder" and len({os.path.realpath(p or "") for p in places}) > 1:
            raise InputError(
                f"Expected a teacher that was trained on the data in {places[0]}. Received: "
                f"{places[1]} in {run.directory}. If the data have moved, write the new place into "
                "its config.json."
            )
        if config.data.validation and config.split_seed != teacher.split_seed:
            raise InputError(
                "Expected a teacher that has not seen the images that this run holds out, with "
                f"the split's seed {config.split_seed}. Received: {teacher.split_seed} in "
                f"{run.directory}"
            )


def remarks(config: RunConfig) -> list[str]:
    """What may not be meant in the settings of a new run."""
    if config.network.pretrained is None:
        return [
            f"`{each.kind()}` is meant for a trained network, which `pretrained` gives."
            for each in config.techniques
            if each.is_for_trained_networks
        ]
    first = RunFolder(config.network.pretrained.directory).config()
    if first.data.dataset == config.data.dataset:
        return []
    return [
        f"The network was trained on {first.data.dataset}, and now trains on "
        f"{config.data.dataset}: it may have seen images that are held out now."
    ]
