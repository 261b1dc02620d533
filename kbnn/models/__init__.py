"""Binary architectures, and what they cost."""

from kbnn.models.alexnet import alexnet
from kbnn.models.resnet import resnet, resnet18, resnet20, resnet34
from kbnn.models.summary import summary
from kbnn.models.vgg_small import vgg_small
from kbnn.models.vgg_tiny import vgg_tiny

__all__ = [
    "alexnet",
    "resnet",
    "resnet18",
    "resnet20",
    "resnet34",
    "summary",
    "vgg_small",
    "vgg_tiny",
]
