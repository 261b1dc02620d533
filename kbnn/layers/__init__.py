"""Layers of binary networks that neither Keras nor Larq has."""

from kbnn.layers.binary_batch_normalization import BinaryBatchNormalization
from kbnn.layers.learned_shift import LearnedShift
from kbnn.layers.rprelu import RPReLU
from kbnn.layers.threshold_encoding import ThresholdEncoding

__all__ = ["BinaryBatchNormalization", "LearnedShift", "RPReLU", "ThresholdEncoding"]
