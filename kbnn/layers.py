"""Layers for binary networks that neither Keras nor Larq provides."""

from kbnn.techniques.contrastive.contrastive_term import ContrastiveTerm
from kbnn.techniques.reactnet.learned_shift import LearnedShift
from kbnn.techniques.reactnet.rprelu import RPReLU
from kbnn.techniques.self_binarizing.binary_batch_normalization import BinaryBatchNormalization
from kbnn.techniques.self_binarizing.threshold_encoding import ThresholdEncoding

__all__ = [
    "BinaryBatchNormalization",
    "ContrastiveTerm",
    "LearnedShift",
    "RPReLU",
    "ThresholdEncoding",
]
