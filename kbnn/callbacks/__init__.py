"""Keras callbacks."""

from kbnn.callbacks.binarization_monitor import BinarizationMonitor
from kbnn.callbacks.sharpness_schedule import SharpnessSchedule
from kbnn.callbacks.shuffle_epoch import ShuffleEpoch
from kbnn.callbacks.weight_histograms import WeightHistograms

__all__ = ["BinarizationMonitor", "SharpnessSchedule", "ShuffleEpoch", "WeightHistograms"]
