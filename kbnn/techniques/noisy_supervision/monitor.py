"""Logs what the mappings of learned signs do in each layer."""

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
    """Add measures of how learned signs differ from latent weights to the logs of each epoch.

    For each kernel with a `LearnedSign`:

    - `<layer>/kernel_disagreement`: share of weights whose binary value differs from the sign of
      the latent weight. At 0 the mapping has no effect;
    - `<layer>/kernel_auxiliary_loss`: the auxiliary loss, without its weight; it can be negative;
    - `<layer>/kernel_flips`: share of weights whose binary value differs from the one in
      `pretrained`.

    Place `CSVLogger` and `TensorBoard` after this callback in the list.

    Args:
        pretrained: the network that you passed to `kbnn.requantize`, with layers of the same names.
            None leaves `flips` out.

    Raises:
        TypeError: `pretrained` is not a Keras 2 model.
        ValueError: in `fit`, if the model has no `LearnedSign`, if several kernels share one, or if
            `pretrained` lacks one of the layers.

    Example:
        >>> import kbnn
        >>> monitor = kbnn.callbacks.LearnedSignMonitor()   # for fit(..., callbacks=[monitor])

    Source: kbnn.
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
                    "Expected a separate LearnedSign for each kernel (kbnn.quantizers.clone). "
                    f"Received: one that {first} and {name} share"
                )
        if self._pretrained is not None:
            self._before = {
                name: _binary_kernel(self._pretrained, name, layer, argument)
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


def _binary_kernel(
    model: keras.Model, name: str, layer: keras.layers.Layer, argument: str
) -> np.ndarray:
    """Where the kernel of this name is +1 in another model, which may store it as plain +-1."""
    kernel = KERNEL_QUANTIZERS[argument]
    expected = getattr(layer, kernel).shape
    other, own = quantized_kernels(model).get(name, (None, argument))
    if other is None:
        # The kernel is quantized by a function, or the model is frozen.
        plain = (module for module in model.submodules if isinstance(module, keras.layers.Layer))
        other = next((module for module in plain if module.name == layer.name), None)
    if getattr(getattr(other, kernel, None), "shape", None) != expected:
        raise ValueError(
            f"Expected `pretrained` to have a layer {layer.name!r} with a {kernel} of shape "
            f"{expected}. Received: pretrained={model.name!r} without it"
        )
    values = latent_kernel(other, own)
    quantizer = quantizers_of(other).get(own)
    return (values if quantizer is None else quantizer(values)).numpy() >= 0
