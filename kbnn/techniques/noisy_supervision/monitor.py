"""What the mappings of learned signs do, layer by layer, in the logs of `fit`."""

from typing import Any

import numpy as np
import tf_keras as keras

from kbnn import _checks
from kbnn.graph.larq_quantizers import (
    KERNEL_QUANTIZERS,
    latent_kernel,
    quantized_kernels,
    quantizers_of,
)
from kbnn.techniques.noisy_supervision.learned_sign import LearnedSign


class LearnedSignMonitor(keras.callbacks.Callback):
    """Write into the logs of each epoch what learned signs make of the latent weights.

    For each kernel with a `LearnedSign`:

    - `<layer>/kernel_disagreement`: share of weights whose binary value is not the sign of the
      latent one: what the mapping does. At 0 it does nothing;
    - `<layer>/kernel_auxiliary_loss`: that of the kernel, without its weight; it may be negative;
    - `<layer>/kernel_flips`: share of weights whose binary value is not that in the network that
      the training began with.

    Put `CSVLogger` and `TensorBoard` behind this callback.

    Args:
        pretrained: the network that was given to `kbnn.requantize`, with layers of the same names;
            None leaves `flips` out.

    Raises:
        ValueError: in `fit`, a model without a `LearnedSign`, or whose kernels share one; a
            pretrained one that lacks one of its layers.

    >>> import kbnn
    >>> monitor = kbnn.callbacks.LearnedSignMonitor()   # for fit(..., callbacks=[monitor])

    The measures are kbnn's.
    """

    def __init__(self, pretrained: keras.Model | None = None) -> None:
        super().__init__()
        if pretrained is not None:
            _checks.keras2_model("pretrained", pretrained)
        self._pretrained = pretrained
        self._learned: dict[str, tuple[keras.layers.Layer, str]] = {}
        self._before: dict[str, np.ndarray] = {}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        _checks.built(self.model)
        self._learned = {
            name: (layer, argument)
            for name, (layer, argument) in quantized_kernels(self.model).items()
            if isinstance(quantizers_of(layer)[argument], LearnedSign)
        }
        if not self._learned:
            raise ValueError(
                "Expected a model with a kbnn.quantizers.LearnedSign. "
                f"Received: model={self.model.name!r} without one"
            )
        owners: dict[int, str] = {}
        for name, (layer, argument) in self._learned.items():
            first = owners.setdefault(id(quantizers_of(layer)[argument]), name)
            if first != name:
                raise ValueError(
                    "Expected a LearnedSign of its own for each kernel (kbnn.quantizers.clone). "
                    f"Received: one that {first} and {name} share"
                )
        if self._pretrained is not None:
            self._before = {
                name: _signs(self._pretrained, name, layer, argument)
                for name, (layer, argument) in self._learned.items()
            }

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is None:
            return
        for name, (layer, argument) in self._learned.items():
            quantizer = quantizers_of(layer)[argument]
            kernel = latent_kernel(layer, argument)
            signs = quantizer.prediction(kernel).numpy() >= 0
            logs[f"{name}_disagreement"] = float(np.mean(signs != (kernel.numpy() >= 0)))
            logs[f"{name}_auxiliary_loss"] = float(quantizer.auxiliary_loss(kernel))
            if self._before:
                logs[f"{name}_flips"] = float(np.mean(signs != self._before[name]))


def _signs(model: keras.Model, name: str, layer: keras.layers.Layer, argument: str) -> np.ndarray:
    """Where the binary kernel of a name is +1 in another model, which may have it plain."""
    kernel = KERNEL_QUANTIZERS[argument]
    expected = getattr(layer, kernel).shape
    other, own = quantized_kernels(model).get(name, (None, argument))
    if other is None:
        # Quantized by a function, or frozen.
        plain = (module for module in model.submodules if isinstance(module, keras.layers.Layer))
        other = next((module for module in plain if module.name == layer.name), None)
    if getattr(getattr(other, kernel, None), "shape", None) != expected:
        raise ValueError(
            f"Expected `pretrained` to have a layer {layer.name!r} with a {kernel} of shape "
            f"{expected}. Received: pretrained={model.name!r} without one"
        )
    values = latent_kernel(other, own)
    quantizer = quantizers_of(other).get(own)
    return (values if quantizer is None else quantizer(values)).numpy() >= 0
