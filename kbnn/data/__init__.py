"""Image data as batched, shuffled tf.data pipelines."""

from kbnn.data.data_info import DataInfo as DataInfo
from kbnn.data.describe import describe
from kbnn.data.load import Splits as Splits
from kbnn.data.load import load
from kbnn.data.normalization import normalization_layer
from kbnn.data.shuffle_epoch import set_epoch

__all__ = ["describe", "load", "normalization_layer", "set_epoch"]
