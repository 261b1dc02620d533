"""From a trained Keras model to a verified Larq Compute Engine file."""

from kbnn.converters.freeze import freeze

__all__ = ["freeze"]
