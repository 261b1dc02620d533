"""Training wrappers, and the graph rewrite that they and the converters are made of."""

from kbnn.training.noise_rate import NoiseRate, estimate_noise_rate
from kbnn.training.recalibrate_batch_norm import recalibrate_batch_norm
from kbnn.training.requantize import requantize
from kbnn.training.rewrite import REMOVE, Replacement, layers_of, rewrite
from kbnn.training.smooth_network import smooth_network
from kbnn.training.smooth_validation import SmoothValidation

__all__ = [
    "REMOVE",
    "NoiseRate",
    "Replacement",
    "SmoothValidation",
    "estimate_noise_rate",
    "layers_of",
    "recalibrate_batch_norm",
    "requantize",
    "rewrite",
    "smooth_network",
]
