"""Latent weights: the real-valued network of the latent weights teaches the binary one."""
