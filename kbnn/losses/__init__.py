"""Loss functions of the techniques."""

from kbnn.losses.latent_supervision import (
    Distillation,
    FeatureAlignment,
    LatentSupervision,
    Paths,
    RealPathLoss,
    distillation,
    feature_distance,
)
from kbnn.losses.noisy_labels import unbiased_logistic_loss, unbiased_squared_error

__all__ = [
    "Distillation",
    "FeatureAlignment",
    "LatentSupervision",
    "Paths",
    "RealPathLoss",
    "distillation",
    "feature_distance",
    "unbiased_logistic_loss",
    "unbiased_squared_error",
]
