"""What the mappings of learned signs do, layer by layer, in the logs of `fit`."""

from typing import Any

import numpy as np
import tf_keras as keras

from kbnn.quantizers import LearnedSign
from kbnn.quantizers.attached import KERNEL_QUANTIZERS, attached, latent_kernel


class LearnedSignMonitor(keras.callbacks.Callback):
    """Write into the logs of each epoch what learned signs make of the latent weights.

    For each layer with a `LearnedSign`:

    - `<layer>/disagreement`: share of weights whose binary value is not the sign of the latent one:
      what the mapping does. At 0 it does nothing;
    - `<layer>/auxiliary_loss`: that of the layer, without its weight; it may be negative;
    - `<layer>/flips`: share of weights whose binary value is not the sign of the latent one in the
      network that the training began with.

    Put `CSVLogger` and `TensorBoard` behind this callback.

    Args:
        pretrained: the network that was given to `kbnn.requantize`, with layers of the same names;
            None leaves `flips` out.

    Raises:
        ValueError: in `fit`, a model without a `LearnedSign`, or a pretrained one that lacks one of
            its layers.

    >>> import kbnn
    >>> monitor = kbnn.callbacks.LearnedSignMonitor()   # for fit(..., callbacks=[monitor])

    The measures are kbnn's.
    """

    def __init__(self, pretrained: keras.Model | None = None) -> None:
        super().__init__()
        self._pretrained = pretrained
        self._learned: list[tuple[keras.layers.Layer, str]] = []
        self._before: list[np.ndarray] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._learned = [
            (layer, argument)
            for layer in self.model.submodules
            if isinstance(layer, keras.layers.Layer)
            for argument, quantizer in attached(layer).items()
            if argument in KERNEL_QUANTIZERS and isinstance(quantizer, LearnedSign)
        ]
        if not self._learned:
            raise ValueError(
                "Expected a model with a kbnn.quantizers.LearnedSign. "
                f"Received: model={self.model.name!r} without one"
            )
        if self._pretrained is not None:
            self._before = [
                _same_kernel(self._pretrained, layer, argument) >= 0
                for layer, argument in self._learned
            ]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is None:
            return
        for i, (layer, argument) in enumerate(self._learned):
            quantizer = attached(layer)[argument]
            kernel = latent_kernel(layer, argument)
            signs = quantizer.prediction(kernel).numpy() >= 0
            logs[f"{layer.name}/disagreement"] = float(np.mean(signs != (kernel.numpy() >= 0)))
            logs[f"{layer.name}/auxiliary_loss"] = float(quantizer.auxiliary_loss(kernel))
            if self._before:
                logs[f"{layer.name}/flips"] = float(np.mean(signs != self._before[i]))


def _same_kernel(model: keras.Model, layer: keras.layers.Layer, argument: str) -> np.ndarray:
    """The latent kernel of the layer that has a layer's name, in another model."""
    kernel = KERNEL_QUANTIZERS[argument]
    expected = getattr(layer, kernel).shape
    for module in model.submodules:
        is_namesake = isinstance(module, keras.layers.Layer) and module.name == layer.name
        if is_namesake and getattr(getattr(module, kernel, None), "shape", None) == expected:
            return latent_kernel(module, argument).numpy()
    raise ValueError(
        f"Expected `pretrained` to have a layer {layer.name!r} with a {kernel} of shape {expected}."
        f" Received: pretrained={model.name!r} without one"
    )
