"""Layers of binary networks that neither Keras nor Larq has."""

from kbnn.layers.binary_batch_normalization import BinaryBatchNormalization
from kbnn.layers.contrast import Contrast
from kbnn.layers.embedding_head import EmbeddingHead
from kbnn.layers.embedding_queue import EmbeddingQueue
from kbnn.layers.learned_shift import LearnedShift
from kbnn.layers.memory_bank import MemoryBank
from kbnn.layers.rprelu import RPReLU
from kbnn.layers.threshold_encoding import ThresholdEncoding

__all__ = [
    "BinaryBatchNormalization",
    "Contrast",
    "EmbeddingHead",
    "EmbeddingQueue",
    "LearnedShift",
    "MemoryBank",
    "RPReLU",
    "ThresholdEncoding",
]
