"""Trainers: Keras models whose train step adds a technique's terms to the loss of your model."""

from kbnn.techniques.distillation.distillation_trainer import DistillationTrainer
from kbnn.techniques.latent_weights.latent_gradient_trainer import LatentGradientTrainer
from kbnn.techniques.latent_weights.latent_mixture_trainer import LatentMixtureTrainer
from kbnn.techniques.latent_weights.latent_weight_trainer import LatentWeightTrainer
from kbnn.training.trainer import Trainer

__all__ = [
    "DistillationTrainer",
    "LatentGradientTrainer",
    "LatentMixtureTrainer",
    "LatentWeightTrainer",
    "Trainer",
]
