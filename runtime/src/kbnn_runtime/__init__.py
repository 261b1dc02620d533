"""Run the binary neural networks of Larq Compute Engine (LCE) in the stock LiteRT interpreter."""

from kbnn_runtime._version import __version__
from kbnn_runtime.delegate import available_kernels, library_path, load_delegate
from kbnn_runtime.interpreter import Interpreter
from kbnn_runtime.profile import OperatorTime, Profile
from kbnn_runtime.sidecar import Prediction, Sidecar
from kbnn_runtime.tensor import Tensor

__all__ = [
    "Interpreter",
    "OperatorTime",
    "Prediction",
    "Profile",
    "Sidecar",
    "Tensor",
    "__version__",
    "available_kernels",
    "library_path",
    "load_delegate",
]
