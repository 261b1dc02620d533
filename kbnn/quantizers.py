"""Quantizers, which turn real tensors into +1 and -1. Larq's quantizers work wherever these do."""

from kbnn.graph.clone import clone
from kbnn.techniques.contrastive.contrastive_sign import ContrastiveSign
from kbnn.techniques.noisy_supervision.learned_sign import LearnedSign
from kbnn.techniques.self_binarizing.smooth_sign import SmoothSign

__all__ = ["ContrastiveSign", "LearnedSign", "SmoothSign", "clone"]
