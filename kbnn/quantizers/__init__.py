"""Quantizers: real tensors to +-1. Larq's own work wherever kbnn takes a quantizer."""

from kbnn.quantizers.clone import clone
from kbnn.quantizers.contrastive_sign import ContrastiveSign
from kbnn.quantizers.learned_sign import LearnedSign
from kbnn.quantizers.smooth_sign import SmoothSign

__all__ = ["ContrastiveSign", "LearnedSign", "SmoothSign", "clone"]
