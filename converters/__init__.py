"""From a trained Keras model to a verified Larq Compute Engine file."""

from kbnn.converters.convert import Conversion, VerificationError, convert
from kbnn.converters.interpreters import INTERPRETERS
from kbnn.converters.latency import Latency, latency
from kbnn.converters.lce import ConversionError
from kbnn.converters.lint import LintResult, lint
from kbnn.converters.parity import Parity
from kbnn.converters.report import FileReport, LayerReport, Report, inspect
from kbnn.converters.sidecar import write_sidecar
from kbnn.converters.ties import Tie
from kbnn.converters.verify import INT8_AGREEMENT, verify
from kbnn.graph.freeze import freeze

__all__ = [
    "INT8_AGREEMENT",
    "INTERPRETERS",
    "Conversion",
    "ConversionError",
    "FileReport",
    "Latency",
    "LayerReport",
    "LintResult",
    "Parity",
    "Report",
    "Tie",
    "VerificationError",
    "convert",
    "freeze",
    "inspect",
    "latency",
    "lint",
    "verify",
    "write_sidecar",
]
