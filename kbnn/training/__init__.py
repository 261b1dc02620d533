"""Training wrappers, and the graph rewrite."""

from kbnn.training.rewrite import REMOVE, Replacement, layers_of, rewrite

__all__ = ["REMOVE", "Replacement", "layers_of", "rewrite"]
