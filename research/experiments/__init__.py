"""The experiments that judge the techniques: one line each, in a file for each technique.

Experiments are compared seed by seed, so an experiment and its first baseline differ only in what
is in question. Their settings were chosen on the validation split, by the rows of
results/accuracy.csv whose mode is "screening". Every experiment has rows in that table.
"""

from research.experiments import (
    baselines,
    contrastive,
    latent_weights,
    noisy_supervision,
    self_binarizing,
)
from research.experiments.experiment import Experiment
from research.experiments.noisy_supervision import PRETRAINED
from research.experiments.self_binarizing import RETIRED

__all__ = ["EXPERIMENTS", "PRETRAINED", "RETIRED", "Experiment"]

EXPERIMENTS: dict[str, Experiment] = {
    **baselines.EXPERIMENTS,
    **self_binarizing.EXPERIMENTS,
    **noisy_supervision.EXPERIMENTS,
    **latent_weights.EXPERIMENTS,
    **contrastive.EXPERIMENTS,
}
