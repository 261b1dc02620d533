"""Reads and rewrites the graph of a Keras model. No other package touches Keras's private graph."""

from kbnn.graph.rewrite import REMOVE, Replacement, layers_of, rewrite

__all__ = ["REMOVE", "Replacement", "layers_of", "rewrite"]
