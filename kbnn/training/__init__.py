"""The train step that the techniques share, and changes to a trained model."""
