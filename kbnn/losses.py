"""Losses of the techniques, and the terms that a trainer adds to the loss of its model."""

from kbnn.techniques.contrastive.losses import info_nce_loss, nce_loss
from kbnn.techniques.contrastive.teacher_contrast import TeacherContrast
from kbnn.techniques.latent_weights.terms import (
    Distillation,
    FeatureAlignment,
    LatentSupervision,
    RealPathLoss,
    distillation,
    feature_distance,
)
from kbnn.techniques.noisy_supervision.losses import unbiased_squared_error

__all__ = [
    "Distillation",
    "FeatureAlignment",
    "LatentSupervision",
    "RealPathLoss",
    "TeacherContrast",
    "distillation",
    "feature_distance",
    "info_nce_loss",
    "nce_loss",
    "unbiased_squared_error",
]
