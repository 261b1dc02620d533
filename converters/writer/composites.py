"""Marks what LCE's operators will compute, so that TensorFlow's converter keeps it whole.

TensorFlow's converter turns a function with the attribute `tfl_fusable_op` into a custom operator
with the function's name: see "operation fusion" in the documentation of TensorFlow Lite. kbnn makes
each sign and each binary convolution such a function. The passes of this folder then give the
custom operators their weights and make them LCE's.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn._larq import Quantizer, sign
from kbnn.converters.fake_quantization import FakeQuantization
from kbnn.converters.linted_model import LintedModel
from kbnn.graph.larq_quantizers import is_quantizer, is_sign
from kbnn.graph.layers import from_config
from kbnn.graph.padding import pads_nothing
from kbnn.graph.rewrite import Replacement, rewrite

SIGN = "KbnnSign"
CONVOLUTION = "KbnnConvolution"
BOUNDARY = "KbnnBoundary"


class Convolution(NamedTuple):
    """A binary convolution, as it will be in the file.

    Attributes:
        name: the layer's name.
        kernel: `(height, width, channels of a group, out)`, +-alpha.
        strides: rows and columns.
        dilation: rows and columns.
        padding: "same" or "valid".
        pad_value: 0 or 1.
        channels: input channels of all groups together.
    """

    name: str
    kernel: np.ndarray
    strides: tuple[int, int]
    dilation: tuple[int, int]
    padding: str
    pad_value: int
    channels: int

    @property
    def pads_with_zero(self) -> bool:
        """Whether some products are 0 instead of +-1."""
        return self.padding == "same" and self.pad_value == 0

    @property
    def products(self) -> int:
        """How many products an output sums."""
        return int(np.prod(self.kernel.shape[:3]))


class MarkedModel(NamedTuple):
    """A model with composite functions.

    Attributes:
        model: the model. It has the shapes of the original and computes other values.
        convolutions: the binary convolutions, by the attribute `number` of their functions.
    """

    model: keras.Model
    convolutions: list[Convolution]


def mark_binary_layers(graph: LintedModel) -> MarkedModel:
    """Put composite functions in place of a device graph's signs and binary convolutions.

    Another one is put between fake quantization and what shall compute in floats. TensorFlow's
    converter would make an average pooling int8, for example, if a convolution before or behind it
    is.
    """
    convolutions: list[Convolution] = []

    def replace(layer: keras.layers.Layer) -> Replacement | None:
        if isinstance(layer, keras.layers.Conv2D) and graph.runs_binary(layer):
            number = len(convolutions)
            convolutions.append(_convolution(layer))
            marked = _MarkedConvolution(layer, convolutions[-1], number)
            return Replacement(marked, [])
        if isinstance(layer, FakeQuantization):
            return Replacement(_BoundedFakeQuantization.from_config(layer.get_config()), [])
        return _with_marked_signs(layer)

    return MarkedModel(rewrite(graph.model, replace), convolutions)


def _convolution(layer: keras.layers.Conv2D) -> Convolution:
    same = layer.padding == "same" and not pads_nothing(layer)
    kernel = layer.get_weights()[0]
    return Convolution(
        *(layer.name, kernel, tuple(layer.strides), tuple(layer.dilation_rate)),
        "same" if same else "valid",
        int(getattr(layer, "pad_values", 0.0)) if same else 0,
        kernel.shape[2] * layer.groups,
    )


def _with_marked_signs(layer: keras.layers.Layer) -> Replacement | None:
    """A copy of a layer with marked signs; None if the layer has no sign."""
    if isinstance(layer, Quantizer) and is_sign(layer):
        return Replacement(_MarkedSign(name=layer.name, dtype="float32"), [])
    signs: dict[str, Any] = {
        argument: _MarkedSign(dtype="float32")
        for argument in ("input_quantizer", "activation")
        if is_quantizer(getattr(layer, argument, None)) and is_sign(getattr(layer, argument))
    }
    if not signs:
        return None
    copy = from_config(layer, {**layer.get_config(), **signs})
    return Replacement(copy, layer.get_weights())


class _MarkedSign(Quantizer):
    """The sign as a composite function."""

    precision = 1

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return _sign(inputs)


class _MarkedConvolution(keras.layers.Layer):
    """A binary convolution of signs as a composite function, with the layer's bias and activation.

    Args:
        layer: the layer.
        convolution: what is known of it.
        number: the convolution's number.
    """

    def __init__(self, layer: keras.layers.Conv2D, convolution: Convolution, number: int) -> None:
        super().__init__(name=layer.name, dtype="float32")
        self._bias = layer.get_weights()[1] if layer.use_bias else None
        self._activation = layer.activation
        self._kernel_shape = convolution.kernel.shape
        self._options = {
            "strides": convolution.strides,
            "padding": convolution.padding.upper(),
            "dilations": convolution.dilation,
        }
        self._number = number

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        # The sign of signs costs nothing in the file, and each convolution needs one before it.
        outputs = _composite(self._sums, CONVOLUTION, number=self._number)(_sign(inputs))
        if self._bias is not None:
            outputs += self._bias
        if is_quantizer(self._activation) and is_sign(self._activation):
            return _sign(outputs)
        return self._activation(outputs)

    def _sums(self, signs: tf.Tensor) -> tf.Tensor:
        # Gives the shape of the sums: the converter drops what a composite function computes.
        return tf.nn.conv2d(signs, tf.zeros(self._kernel_shape), **self._options)


class _BoundedFakeQuantization(FakeQuantization):
    """Fake quantization with a boundary on the sides that compute in floats."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        if self.float_before:
            inputs = _boundary(inputs)
        outputs = super().call(inputs)
        return _boundary(outputs) if self.float_after else outputs


def _boundary(inputs: tf.Tensor) -> tf.Tensor:
    # The arguments that `tf.identity` can have besides do not fit a composite function.
    return _composite(lambda values: tf.identity(values), BOUNDARY)(inputs)


def _sign(inputs: tf.Tensor) -> tf.Tensor:
    return _composite(sign, SIGN)(inputs)


def _composite(
    function: Callable[[tf.Tensor], tf.Tensor], name: str, **attributes: int
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Make a function a custom operator with a name and attributes.

    It must be made anew for each call: with other calls, TensorFlow would forget fixed sizes.
    """
    values = {"tfl_fusable_op": "b: true"}
    values.update({key: f"i: {value}" for key, value in attributes.items()})
    texts = [f'attr {{ key: "{key}" value {{ {value} }} }}' for key, value in values.items()]
    return tf.function(
        function, experimental_implements=" ".join([f'name: "{name}"', *texts]), autograph=False
    )
