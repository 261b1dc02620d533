"""Quantizers: real tensors to +-1."""
