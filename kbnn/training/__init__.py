"""Training wrappers, and the graph rewrite."""

from kbnn.training.rewrite import Replacement, layers_of, rewrite

__all__ = ["Replacement", "layers_of", "rewrite"]
