"""Self-binarizing networks: tanh, sharpened during training until it is the sign."""
