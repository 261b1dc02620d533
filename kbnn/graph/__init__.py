"""Reads and rewrites the graph of a Keras model. No other package touches Keras's private graph."""

from kbnn.graph.layers import layers_of
from kbnn.graph.rewrite import REMOVE, Replacement, rewrite

__all__ = ["REMOVE", "Replacement", "layers_of", "rewrite"]
