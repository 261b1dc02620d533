"""Writes LCE `.tflite` files: see README.md in this folder."""

from kbnn.converters.writer.write import write_lce

__all__ = ["write_lce"]
