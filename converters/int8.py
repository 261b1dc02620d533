"""Calibrated int8 for the layers that are not binary.

The converters turn fake quantization in the graph into int8 arithmetic. kbnn measures the range of
each real-valued tensor and writes it into the graph.
"""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn.converters.int8_rules import feeds_only_signs, fuses_activation, needs_range
from kbnn.converters.linted_model import LintedModel
from kbnn.converters.samples import Samples
from kbnn.graph.larq_quantizers import is_quantizer
from kbnn.graph.rewrite import Replacement, rewrite

CALIBRATION_IMAGES = 1024
"""How many images calibration uses."""

# A small negative value that rounds to zero gets the sign +1. Where only the sign matters, cutting
# large values off costs nothing and makes the steps around zero finer.
_SIGN_RANGE = 1 / 8

# Layers that apply their activation to their output only, not inside.
_ACTIVATED = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Dense,
    keras.layers.DepthwiseConv2D,
    keras.layers.EinsumDense,
    keras.layers.SeparableConv2D,
)


def quantize_real_layers(graph: LintedModel, calibration_data: Samples) -> keras.Model:
    """Mark the real-valued tensors of a device graph with their ranges on real data.

    A range is the smallest and the largest value, as in TensorFlow Lite's post-training
    quantization; before a sign it is an eighth of that, which is kbnn's own rule. The converter
    gives weights a scale per channel. Tensors between two binary convolutions stay as they are,
    so that they can be bit-packed.

    Args:
        graph: the device graph.
        calibration_data: images; the first 1,024 are used.

    Returns:
        A model with fake-quantized activations. It computes what the int8 file computes, except for
            the rounding of weights and of ties.

    Raises:
        TypeError: a batch of an unsupported type.
        ValueError: a batch that does not fit the model, no images, or activations that are not
            finite.
    """
    model = LintedModel(rewrite(graph.model, _separate_activation))

    def observed_layer(layer: keras.layers.Layer) -> Replacement | None:
        calls = model.calls_to(layer)
        if not needs_range(layer, calls, model):
            return None
        copy = type(layer).from_config(layer.get_config())
        observer = _Observer(feeds_only_signs(calls), name=f"{layer.name}_range", dtype="float32")
        return Replacement(copy, layer.get_weights(), then=observer)

    observed = _with_observed_inputs(rewrite(model.model, observed_layer))
    _observe(observed, calibration_data)
    return rewrite(observed, _fake_quantization)


def first_calibration_images(calibration_data: Any) -> Any:
    """Limit a dataset, which may be endless, to what calibration uses. Other data stay whole."""
    if isinstance(calibration_data, tf.data.Dataset):
        return calibration_data.take(CALIBRATION_IMAGES)  # batches, each of at least one image
    return calibration_data


class FakeQuantization(keras.layers.Layer):
    """Rounds to 8 bits between `low` and `high`. Zero is one of the values."""

    def __init__(self, low: float, high: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.low = low
        self.high = high

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.quantization.fake_quant_with_min_max_args(inputs, self.low, self.high)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "low": self.low, "high": self.high}


class _Observer(keras.layers.Layer):
    """Passes a tensor on and records its smallest and largest value."""

    def __init__(self, before_sign: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.before_sign = before_sign
        self.low = self.add_weight("low", (), initializer="zeros", trainable=False)
        self.high = self.add_weight("high", (), initializer="zeros", trainable=False)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        self.low.assign(tf.minimum(self.low, tf.reduce_min(inputs)))
        self.high.assign(tf.maximum(self.high, tf.reduce_max(inputs)))
        return tf.identity(inputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "before_sign": self.before_sign}


def _separate_activation(layer: keras.layers.Layer) -> Replacement | None:
    """Take a softmax, a sigmoid, ... out of its layer, as int8 also needs the range before it."""
    if not isinstance(layer, _ACTIVATED):
        return None
    if fuses_activation(layer.activation) or is_quantizer(layer.activation):
        return None
    linear = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    activation = keras.layers.Activation(
        layer.activation, name=f"{layer.name}_activation", dtype="float32"
    )
    return Replacement(linear, layer.get_weights(), then=activation)


def _with_observed_inputs(model: keras.Model) -> keras.Model:
    """Observe the real-valued inputs too. The outputs keep their names."""
    inputs = [
        keras.Input(tensor.shape[1:], tensor.shape[0], name=name, dtype=tensor.dtype)
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
    ]
    taken = [
        _Observer(name=f"{name}_range", dtype="float32")(tensor)
        if tensor.dtype == tf.float32
        else tensor
        for name, tensor in zip(model.input_names, inputs, strict=True)
    ]
    outputs = tf.nest.flatten(model(tf.nest.pack_sequence_as(model.input, taken)))
    named = [
        keras.layers.Activation("linear", name=name, dtype=tensor.dtype)(tensor)
        for name, tensor in zip(model.output_names, outputs, strict=True)
    ]
    return keras.Model(
        tf.nest.pack_sequence_as(model.input, inputs),
        tf.nest.pack_sequence_as(model.output, named),
    )


def _observe(model: keras.Model, data: Samples) -> None:
    run = tf.function(model, reduce_retracing=True)
    seen = 0
    for inputs, _ in data.batches():
        inputs = [array[: CALIBRATION_IMAGES - seen] for array in inputs]
        run(tf.nest.pack_sequence_as(model.input, [tf.constant(array) for array in inputs]))
        seen += len(inputs[0])
        if seen >= CALIBRATION_IMAGES:
            break
    if not seen:
        raise ValueError("Expected `calibration_data` to hold images. Received: no batch")


def _fake_quantization(layer: keras.layers.Layer) -> Replacement | None:
    if not isinstance(layer, _Observer):
        return None
    low, high = layer.get_weights()
    if not np.isfinite([low, high]).all():
        raise ValueError(
            "Expected finite activations on `calibration_data`. "
            f"Received: from {low} to {high} at {layer.name!r}"
        )
    if layer.before_sign:
        low, high = low * _SIGN_RANGE, high * _SIGN_RANGE
    # A tensor that is always zero has no range.
    high = high if high > low else low + 1.0
    rounding = FakeQuantization(float(low), float(high), name=layer.name, dtype="float32")
    return Replacement(rounding, [])
