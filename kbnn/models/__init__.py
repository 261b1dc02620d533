"""Binary architectures, and a summary of what they cost."""

from kbnn.models.chains import alexnet, vgg_small, vgg_tiny
from kbnn.models.resnet import resnet, resnet18, resnet20, resnet34
from kbnn.models.summary import summary

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
