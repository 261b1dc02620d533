"""The protocol by which a layer or quantizer of your own takes part in what kbnn does.

Each class below describes one optional method or attribute. You need not inherit from it: a layer
or quantizer takes part if it has the member. Keras layers and Larq quantizers without any of them
work too. For example, a trained shift is a bias once it is frozen:

    @keras.utils.register_keras_serializable(package="my_package")
    class Shift(keras.layers.Layer):
        def build(self, input_shape):
            self.shift = self.add_weight("shift", [input_shape[-1]])

        def call(self, inputs):
            return inputs + self.shift

        def frozen_layer(self):
            kernel = np.ones((1, 1, self.shift.shape[0], 1), "float32")
            return keras.layers.DepthwiseConv2D(1, name=self.name), [kernel, self.shift.numpy()]

The functions below read the members. The rest of kbnn calls these functions only.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import tensorflow as tf
import tf_keras as keras


@runtime_checkable
class HasFrozenLayer(Protocol):
    """A layer that `kbnn.converters.freeze` replaces with other layers."""

    def frozen_layer(
        self,
    ) -> (
        keras.layers.Layer
        | tuple[keras.layers.Layer, list[np.ndarray]]
        | tuple[keras.layers.Layer, list[np.ndarray], keras.layers.Layer]
    ):
        """Return Keras or Larq layers that compute what this layer computes at inference.

        Returns:
            The new layer; or `(layer, weights)`, with arrays for its `set_weights`; or
            `(layer, weights, then)`, with a second layer to apply to the output of the first.
        """


@runtime_checkable
class HasFrozenQuantizer(Protocol):
    """A quantizer of inputs that `kbnn.converters.freeze` replaces with another quantizer.

    A kernel quantizer does not need it, because `freeze` evaluates the kernel.
    """

    def frozen_quantizer(self) -> Any:
        """Return a quantizer of Larq's that computes what this one computes at inference."""


@runtime_checkable
class HasBinaryOutputs(Protocol):
    """A layer that says whether all its outputs at inference are +1 or -1."""

    outputs_are_binary: bool


@runtime_checkable
class ChecksKernel(Protocol):
    """A quantizer that some kernels do not suit. `kbnn.requantize` asks it before any work."""

    def check_kernel(self, shape: Sequence[int | None]) -> None:
        """Raise ValueError unless the quantizer can quantize a kernel of this shape."""


@runtime_checkable
class WrapsQuantizer(Protocol):
    """A quantizer that adds something to the quantizer inside it, such as a loss term.

    What applies to the inner quantizer (a sharpness schedule, for example) then applies to `base`.
    """

    base: Any


@runtime_checkable
class CarriesSigns(Protocol):
    """A kernel quantizer whose signs are not the signs of its latent kernel."""

    def carry_to(self, successor: Any, kernel: tf.Tensor, new_kernel: tf.Variable) -> None:
        """Hand the learned signs over to the quantizer that `kbnn.requantize` puts in place.

        Args:
            successor: the new quantizer, or None. Give it this one's weights if it can use them.
            kernel: the latent kernel that this quantizer quantizes.
            new_kernel: the latent kernel that the successor quantizes. Otherwise assign values
                whose signs are the learned ones.
        """


@runtime_checkable
class RequiresSign(Protocol):
    """A layer whose `activation` must be a sign at inference, because the layer compares."""

    activation_must_be_sign: bool


@runtime_checkable
class AddsLoss(Protocol):
    """A quantizer that calls `add_loss`, used inside a layer that does not always call it.

    Keras 2 needs a loss from every call; otherwise it takes a loss of an earlier graph.
    """

    def add_no_loss(self) -> None:
        """Call `add_loss` with a zero."""


def frozen_layer(layer: keras.layers.Layer) -> Any:
    """Return what a layer's `frozen_layer` gives; None for a layer without it."""
    return layer.frozen_layer() if isinstance(layer, HasFrozenLayer) else None


def frozen_quantizer(quantizer: Any) -> Any:
    """Return what a quantizer's `frozen_quantizer` gives; None for a quantizer without it."""
    return quantizer.frozen_quantizer() if isinstance(quantizer, HasFrozenQuantizer) else None


def has_binary_outputs(layer: keras.layers.Layer) -> bool:
    """Whether a layer says that its outputs at inference are +1 or -1."""
    return isinstance(layer, HasBinaryOutputs) and bool(layer.outputs_are_binary)


def check_kernel(quantizer: Any, shape: Sequence[int | None]) -> None:
    """Raise ValueError if a quantizer refuses kernels of a shape."""
    if isinstance(quantizer, ChecksKernel):
        quantizer.check_kernel(shape)


def base_quantizer(quantizer: Any) -> Any:
    """Return the quantizer inside one that wraps it; any other quantizer is returned itself."""
    return quantizer.base if isinstance(quantizer, WrapsQuantizer) else quantizer


def carry_signs(quantizer: Any, successor: Any, kernel: tf.Tensor, new_kernel: tf.Variable) -> None:
    """Have a quantizer hand its learned signs over to its successor, if it has learned signs."""
    if isinstance(quantizer, CarriesSigns):
        quantizer.carry_to(successor, kernel, new_kernel)


def requires_sign(layer: keras.layers.Layer) -> bool:
    """Whether the activation of a layer must be a sign at inference."""
    return isinstance(layer, RequiresSign) and bool(layer.activation_must_be_sign)


def add_no_loss(quantizer: Any) -> None:
    """Have a quantizer that adds a loss in each call add a zero."""
    if isinstance(quantizer, AddsLoss):
        quantizer.add_no_loss()
