"""Converts a trained Keras model to a verified Larq Compute Engine file."""

from kbnn.converters.convert import convert
from kbnn.converters.errors import ConversionError, VerificationError
from kbnn.converters.latency import latency
from kbnn.converters.lint import lint
from kbnn.converters.report import inspect
from kbnn.converters.sidecar import write_sidecar
from kbnn.converters.verify import verify
from kbnn.graph.freeze import freeze

__all__ = [
    "ConversionError",
    "VerificationError",
    "convert",
    "freeze",
    "inspect",
    "latency",
    "lint",
    "verify",
    "write_sidecar",
]
