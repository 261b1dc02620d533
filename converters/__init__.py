"""From a trained Keras model to a verified Larq Compute Engine file."""
