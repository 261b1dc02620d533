"""Keras callbacks."""

from kbnn.callbacks.binarization_monitor import BinarizationMonitor
from kbnn.callbacks.contrast_monitor import ContrastMonitor
from kbnn.callbacks.learned_sign_monitor import LearnedSignMonitor
from kbnn.callbacks.sharpness_schedule import SharpnessSchedule
from kbnn.callbacks.shuffle_epoch import ShuffleEpoch
from kbnn.callbacks.weight_histograms import WeightHistograms

__all__ = [
    "BinarizationMonitor",
    "ContrastMonitor",
    "LearnedSignMonitor",
    "SharpnessSchedule",
    "ShuffleEpoch",
    "WeightHistograms",
]
