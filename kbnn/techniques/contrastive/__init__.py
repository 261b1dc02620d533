"""Contrastive learning: the mutual information of binary and real activations."""
