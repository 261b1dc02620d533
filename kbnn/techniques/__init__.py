"""The techniques, a folder for each paper, and the functions that apply one to a model.

The quantizers, layers, losses, callbacks and trainers of a technique are in the modules of kbnn
that have these names.
"""

from kbnn.techniques.contrastive.contrastable_layers import contrastable_layers
from kbnn.techniques.contrastive.negatives import EmbeddingQueue, MemoryBank, SameBatch
from kbnn.techniques.contrastive.with_contrast import with_contrast
from kbnn.techniques.noisy_supervision.noise_rate import estimate_noise_rate
from kbnn.techniques.self_binarizing.smooth_network import smooth_network
from kbnn.techniques.self_binarizing.weight_histograms import plot_weight_histograms

__all__ = [
    "EmbeddingQueue",
    "MemoryBank",
    "SameBatch",
    "contrastable_layers",
    "estimate_noise_rate",
    "plot_weight_histograms",
    "smooth_network",
    "with_contrast",
]
