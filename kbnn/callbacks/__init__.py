"""Keras callbacks."""

from kbnn.callbacks.sharpness_schedule import SharpnessSchedule
from kbnn.callbacks.shuffle_epoch import ShuffleEpoch

__all__ = ["SharpnessSchedule", "ShuffleEpoch"]
