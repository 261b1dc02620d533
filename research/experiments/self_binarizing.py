"""Self-binarizing networks: the experiments that cannot be run any more."""

from research.experiments.experiment import Experiment

EXPERIMENTS: dict[str, Experiment] = {}

RETIRED = (
    "fashion-smooth-both-to100-to3-hard-linear",
    "fashion-smooth-both-to10-hard-to3-hard-linear",
    "fashion-smooth-both-to10-hard-to3-hard-hashnet",
    "fashion-smooth-both",
    "fashion-smooth-both-end",
    "fashion-smooth-both-hard",
    "fashion-smooth-both-to10-hard-to3-hard",
    "fashion-smooth-both-to100",
    "fashion-smooth-both-to100-to10",
    "fashion-smooth-both-to100-to3-hard",
    "fashion-smooth-both-to100-to3-hard-hold0.3",
    "fashion-smooth-both-to100-to3-hard-lr0.002",
    "fashion-smooth-both-to100-to3-hard-lr0.01",
    "fashion-smooth-both-to100-to3-hard-no_clip",
    "fashion-smooth-both-to100-to3-hard-scale3",
    "fashion-smooth-both-to100-to3-hard0.5",
    "fashion-smooth-both-to1000-to100",
    "fashion-smooth-both-to1000-to3-hard",
    "fashion-smooth-both-to3-hard-to3-hard",
    "fashion-smooth-both-to30-hard-to3-hard",
    "fashion-smooth-inputs",
    "fashion-smooth-inputs-to1-hard",
    "fashion-smooth-inputs-to10",
    "fashion-smooth-inputs-to10-hard",
    "fashion-smooth-inputs-to10-hard0.8",
    "fashion-smooth-inputs-to3",
    "fashion-smooth-inputs-to3-hard",
    "fashion-smooth-inputs-to3-hard-lr0.002",
    "fashion-smooth-inputs-to3-hard-lr0.01",
    "fashion-smooth-kernels-end",
    "fashion-smooth-kernels-hard",
    "fashion-smooth-kernels-to10",
    "fashion-smooth-kernels-to10-hard",
    "fashion-smooth-kernels-to100",
    "fashion-smooth-kernels-to1000",
    "fashion-smooth-tanh",
)
"""Experiments with rows in results/, which hold their settings.

They vary the hard forward pass and the sharpness of kernels and inputs in ways that kbnn's
techniques do not have as settings; three of them have another law of the sharpness.
"""
