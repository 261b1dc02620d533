"""Binary architectures."""

from kbnn.models.vgg_small import vgg_small
from kbnn.models.vgg_tiny import vgg_tiny

__all__ = ["vgg_small", "vgg_tiny"]
