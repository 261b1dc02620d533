"""Loss functions of the techniques."""

from kbnn.losses.contrastive import (
    info_nce_bound,
    info_nce_loss,
    mutual_information_bound,
    nce_loss,
)
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
    "info_nce_bound",
    "info_nce_loss",
    "mutual_information_bound",
    "nce_loss",
    "unbiased_logistic_loss",
    "unbiased_squared_error",
]
