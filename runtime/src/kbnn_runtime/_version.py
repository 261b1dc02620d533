"""The version, which can be read without importing LiteRT."""

__version__ = "0.1.0.dev0"
