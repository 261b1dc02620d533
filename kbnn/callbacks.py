"""Keras callbacks, for the `callbacks` argument of `fit`."""

from kbnn.data.shuffle_epoch import ShuffleEpoch
from kbnn.techniques.contrastive.monitor import ContrastMonitor
from kbnn.techniques.noisy_supervision.monitor import LearnedSignMonitor
from kbnn.techniques.self_binarizing.binarization_monitor import BinarizationMonitor
from kbnn.techniques.self_binarizing.sharpness_schedule import SharpnessSchedule
from kbnn.techniques.self_binarizing.smooth_validation import SmoothValidation
from kbnn.techniques.self_binarizing.weight_histograms import WeightHistograms

__all__ = [
    "BinarizationMonitor",
    "ContrastMonitor",
    "LearnedSignMonitor",
    "SharpnessSchedule",
    "ShuffleEpoch",
    "SmoothValidation",
    "WeightHistograms",
]
