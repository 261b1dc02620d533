"""The errors of a conversion."""

from kbnn.converters.parity import Parity


class ConversionError(RuntimeError):
    """The model cannot be converted, or its file cannot be run."""


class VerificationError(ConversionError):
    """The device file does not compute what the model computes.

    Attributes:
        parity: how far the two agree; `parity.failures` lists what is wrong.
    """

    def __init__(self, parity: Parity) -> None:
        super().__init__("The device file does not agree with Keras: " + "; ".join(parity.failures))
        self.parity = parity
