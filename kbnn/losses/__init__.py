"""Loss functions of the techniques."""

from kbnn.losses.noisy_labels import unbiased_logistic_loss, unbiased_squared_error

__all__ = ["unbiased_logistic_loss", "unbiased_squared_error"]
