"""Keras callbacks."""

from kbnn.callbacks.shuffle_epoch import ShuffleEpoch

__all__ = ["ShuffleEpoch"]
