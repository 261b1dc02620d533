"""The settings of one run of an experiment."""

import json
import pathlib
from typing import Any

import typer

from kbnn.runs import RunConfig
from kbnn.techniques import Distillation
from kbnn.techniques.trained_run import TrainedRun
from research.experiments.experiment import Experiment
from research.experiments.noisy_supervision import PRETRAINED

SCREENING_SHARE = 3
"""Screening trains for a third of the epochs."""


def run_config(
    experiment: Experiment,
    mode: str,
    seed: int,
    runs: pathlib.Path,
    data_dir: pathlib.Path | None = None,
) -> RunConfig:
    """The settings of a run, with the networks that it starts from or learns from.

    Args:
        experiment: what is trained.
        mode: "screening" or "final".
        seed: of the run.
        runs: folder of all runs, where those networks are.
        data_dir: the data, unless they are found by name.

    Raises:
        typer.BadParameter: a network that the run needs has not been trained.
    """
    config = experiment.config
    data, network, fit = config.data, config.network, config.fit.replace(seed=seed)
    techniques = config.techniques
    if mode == "screening":
        fit = fit.replace(epochs=max(1, round(fit.epochs / SCREENING_SHARE)))
    if data_dir is not None:
        data = data.replace(directory=str(data_dir))
    if experiment.fine_tunes is not None:
        # The images that the network was not trained on stay the validation images.
        first = seed % PRETRAINED
        folder = _trained_run(runs, experiment.fine_tunes, first, seeds=PRETRAINED)
        network = network.replace(pretrained=TrainedRun(str(folder)))
        data = data.replace(split_seed=first)
    if experiment.teacher is not None:
        folder = _trained_run(runs, experiment.teacher, seed, seeds=seed + 1)
        techniques = (*techniques, Distillation(folder, **experiment.teacher_terms))
    return RunConfig(data, network, fit, techniques)


def settings_without_paths(config: RunConfig) -> dict[str, Any]:
    """Return the settings as JSON, without paths, which differ between machines."""
    return json.loads(json.dumps(config.to_dict(places=False)))


def _trained_run(runs: pathlib.Path, experiment: str, seed: int, seeds: int) -> pathlib.Path:
    folder = runs / "final" / experiment / f"seed_{seed}"
    if not (folder / "model.keras").exists():
        raise typer.BadParameter(
            f"Expected the finished run {folder}. Received: none. Train it first: "
            f"python -m research.accuracy run {experiment} --mode final --seeds {seeds}"
        )
    return folder
