"""The techniques, a folder for each paper, and the functions that apply one to a model.

The quantizers, layers, losses, callbacks and trainers of a technique are in the modules of kbnn
that have these names. A `Technique` has all its settings, for `kbnn.runs`.
"""

from kbnn.techniques.contrastive.contrastable_layers import contrastable_layers
from kbnn.techniques.contrastive.negatives import EmbeddingQueue, MemoryBank, SameBatch
from kbnn.techniques.contrastive.settings import Contrastive
from kbnn.techniques.contrastive.teacher_settings import FeatureContrast, ReleasedCode
from kbnn.techniques.contrastive.with_contrast import with_contrast
from kbnn.techniques.distillation.settings import Distillation
from kbnn.techniques.latent_weights.settings import Gradient, LatentWeights, Mixture, Twin
from kbnn.techniques.noisy_supervision.noise_rate import estimate_noise_rate
from kbnn.techniques.noisy_supervision.settings import NoisySupervision, Random, Residual
from kbnn.techniques.self_binarizing.settings import SelfBinarizing
from kbnn.techniques.self_binarizing.smooth_network import smooth_network
from kbnn.techniques.self_binarizing.weight_histograms import plot_weight_histograms
from kbnn.techniques.tanh_surrogate.settings import TanhSurrogate
from kbnn.techniques.technique import Technique

__all__ = [
    "Contrastive",
    "Distillation",
    "EmbeddingQueue",
    "FeatureContrast",
    "Gradient",
    "LatentWeights",
    "MemoryBank",
    "Mixture",
    "NoisySupervision",
    "Random",
    "ReleasedCode",
    "Residual",
    "SameBatch",
    "SelfBinarizing",
    "TanhSurrogate",
    "Technique",
    "Twin",
    "contrastable_layers",
    "estimate_noise_rate",
    "plot_weight_histograms",
    "smooth_network",
    "with_contrast",
]

TECHNIQUES: dict[str, type[Technique]] = {
    each.kind(): each
    for each in (
        SelfBinarizing,
        TanhSurrogate,
        NoisySupervision,
        LatentWeights,
        Distillation,
        Contrastive,
    )
}
"""The techniques that `kbnn train --method` knows, by name."""
