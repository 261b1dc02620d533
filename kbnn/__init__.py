"""Binary neural networks in Keras: train with `fit`, ship as Larq Compute Engine files.

Import kbnn before TensorFlow: it selects Keras 2 (the package tf-keras), which Larq needs.
"""

from kbnn import _legacy_keras
from kbnn._version import __version__

_legacy_keras.select()

from kbnn import (
    callbacks,
    converters,
    data,
    layers,
    losses,
    math,
    models,
    plots,
    quantizers,
    training,
)
from kbnn.training import recalibrate_batch_norm, requantize

__all__ = [
    "__version__",
    "callbacks",
    "converters",
    "data",
    "layers",
    "losses",
    "math",
    "models",
    "plots",
    "quantizers",
    "recalibrate_batch_norm",
    "requantize",
    "training",
]
