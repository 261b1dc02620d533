"""Binary neural networks in Keras: train with `fit`, ship as Larq Compute Engine files.

Import kbnn before TensorFlow: it selects Keras 2 (the package tf-keras), which Larq needs.
"""

from kbnn import _environment
from kbnn._version import __version__

_environment.select_legacy_keras()

from kbnn import (
    callbacks,
    converters,
    data,
    graph,
    layers,
    losses,
    math,
    models,
    quantizers,
    runs,
    techniques,
    trainers,
)
from kbnn.training.recalibrate_batch_norm import recalibrate_batch_norm
from kbnn.training.requantize import requantize

__all__ = [
    "__version__",
    "callbacks",
    "converters",
    "data",
    "graph",
    "layers",
    "losses",
    "math",
    "models",
    "quantizers",
    "recalibrate_batch_norm",
    "requantize",
    "runs",
    "techniques",
    "trainers",
]
