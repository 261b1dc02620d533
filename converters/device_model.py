"""A model on its way to the device: everything that the converters work out, each part once."""

import functools

import tf_keras as keras

from kbnn import _checks
from kbnn.converters.device_graph import device_graph
from kbnn.converters.linted_model import LintedModel
from kbnn.graph.freeze import freeze
from kbnn.graph.precision import in_float32


class DeviceModel:
    """A Keras model with its frozen form and its device graph.

    `convert` makes one and hands it to everyone who needs a part of it. Each part is worked out
    when it is first asked for, and raises what the function that makes it raises.

    Args:
        model: a built functional or Sequential model. It must not change afterwards.

    Raises:
        TypeError: the model is not a Keras 2 model.
    """

    def __init__(self, model: keras.Model) -> None:
        _checks.keras2_model("model", model)
        self.model = model

    @functools.cached_property
    def frozen(self) -> LintedModel:
        """The plain network that ships: see `kbnn.converters.freeze`."""
        return LintedModel(freeze(self.model))

    @functools.cached_property
    def graph(self) -> LintedModel:
        """The frozen network in the form that LCE compiles correctly: see `device_graph`."""
        return LintedModel(device_graph(self.frozen))

    @functools.cached_property
    def in_float32(self) -> keras.Model:
        """The model itself, or its copy without mixed precision."""
        return in_float32(self.model)
