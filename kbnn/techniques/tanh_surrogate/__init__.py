"""The tanh's gradient for the hard sign: a straight-through estimator that sharpens."""
