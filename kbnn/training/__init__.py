"""Training wrappers, and the graph rewrite that they and the converters are made of."""

from kbnn.training.latent_gradient_model import LatentGradientModel
from kbnn.training.latent_mixture_model import LatentMixtureModel
from kbnn.training.latent_weight_model import LatentWeightModel
from kbnn.training.noise_rate import NoiseRate, estimate_noise_rate
from kbnn.training.recalibrate_batch_norm import recalibrate_batch_norm
from kbnn.training.requantize import requantize
from kbnn.training.rewrite import REMOVE, Replacement, layers_of, rewrite
from kbnn.training.smooth_network import smooth_network
from kbnn.training.smooth_validation import SmoothValidation
from kbnn.training.teacher_contrast import TeacherContrast
from kbnn.training.teacher_model import TeacherModel
from kbnn.training.trainer import Trainer
from kbnn.training.with_contrast import tappable, with_contrast

__all__ = [
    "REMOVE",
    "LatentGradientModel",
    "LatentMixtureModel",
    "LatentWeightModel",
    "NoiseRate",
    "Replacement",
    "SmoothValidation",
    "TeacherContrast",
    "TeacherModel",
    "Trainer",
    "estimate_noise_rate",
    "layers_of",
    "recalibrate_batch_norm",
    "requantize",
    "rewrite",
    "smooth_network",
    "tappable",
    "with_contrast",
]
