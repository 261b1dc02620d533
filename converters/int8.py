"""Calibrated int8 for the layers that stay real.

A range is measured at each real tensor of the device graph and written into the graph as a
fake-quantization, which LCE's converter turns into int8 arithmetic: it has no calibration itself.
"""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn.converters import samples
from kbnn.converters.lint import is_kernel_layer, lint_layer
from kbnn.graph.calls import Call, calls_of
from kbnn.graph.larq_quantizers import is_quantizer, is_sign
from kbnn.graph.rewrite import Replacement, rewrite

CALIBRATION_IMAGES = 1024
"""Images after which the ranges are taken as known."""

# A small negative value that rounds to zero gets the sign +1. Where the sign alone matters, a range
# that cuts large values off costs nothing and makes the steps around zero finer.
_SIGN_RANGE = 1 / 8

# The device's operators that give the int8 scale of their input on, or (softmax) have a fixed one.
_SAME_RANGE = (
    keras.layers.AveragePooling2D,
    keras.layers.Flatten,
    keras.layers.MaxPooling2D,
    keras.layers.Permute,
    keras.layers.Reshape,
    keras.layers.Softmax,
    keras.layers.UpSampling2D,
    keras.layers.ZeroPadding2D,
)
# What LCE folds into the packed output of the binary convolution before it, or looks through.
_PACKED = (
    keras.layers.BatchNormalization,
    keras.layers.Flatten,
    keras.layers.MaxPooling2D,
    keras.layers.Reshape,
)
# Layers whose activation is applied to their output, and to nothing inside.
_ACTIVATED = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Dense,
    keras.layers.DepthwiseConv2D,
    keras.layers.EinsumDense,
    keras.layers.SeparableConv2D,
)
_FUSED_ACTIVATIONS = ("linear", "relu", "relu6")


def quantize_real_layers(device_model: keras.Model, calibration_data: Any) -> keras.Model:
    """Mark the real tensors of a device graph with the ranges that they have on real data.

    Ranges are the smallest and the largest value, as in TensorFlow Lite's own post-training
    quantization (before a sign an eighth of them, which is kbnn's own); weights get a scale per
    channel in the converter. What stands between two binary convolutions stays as it was, so that
    it can be bit-packed.

    Args:
        device_model: a frozen model, as `device_graph` gives it.
        calibration_data: images as for `verify`, labels or not; the first 1,024 are used.

    Returns:
        A model with fake-quantized activations; it computes, but for the rounding of weights and
        ties, what the int8 file computes.

    Raises:
        TypeError: data of another kind.
        ValueError: data that do not fit the model, that hold no image, or that lead to activations
            that are not finite.
    """
    model = rewrite(device_model, _activation_apart)
    calls = calls_of(model)

    def observed_layer(layer: keras.layers.Layer) -> Replacement | None:
        uses = [call for call in calls if call.layer is layer]
        if not _needs_range(layer, uses):
            return None
        copy = type(layer).from_config(layer.get_config())
        observer = _Observer(_feeds_signs_alone(uses), name=f"{layer.name}_range", dtype="float32")
        return Replacement(copy, layer.get_weights(), then=observer)

    observed = _with_observed_inputs(rewrite(model, observed_layer))
    _observe(observed, calibration_data)
    return rewrite(observed, _fake_quantized)


def first_calibration_images(calibration_data: Any) -> Any:
    """The data that calibration may look at: of a dataset, which may be endless, a part."""
    if isinstance(calibration_data, tf.data.Dataset):
        return calibration_data.take(CALIBRATION_IMAGES)  # batches, of one image at least
    return calibration_data


class FakeQuantization(keras.layers.Layer):
    """Rounds to 8 bits between `low` and `high`, with zero among the values."""

    def __init__(self, low: float, high: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.low = low
        self.high = high

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.quantization.fake_quant_with_min_max_args(inputs, self.low, self.high)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "low": self.low, "high": self.high}


class _Observer(keras.layers.Layer):
    """Hands a tensor on and notes its smallest and largest value."""

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


def _activation_apart(layer: keras.layers.Layer) -> Replacement | None:
    """Take a softmax, a sigmoid, ... out of its layer: int8 needs the range before it too."""
    if not isinstance(layer, _ACTIVATED):
        return None
    if _fuses(layer.activation) or is_quantizer(layer.activation):
        return None
    linear = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    activation = keras.layers.Activation(
        layer.activation, name=f"{layer.name}_activation", dtype="float32"
    )
    return Replacement(linear, layer.get_weights(), then=activation)


def _needs_range(layer: keras.layers.Layer, uses: list[Call]) -> bool:
    """Whether the layer's output is a real tensor of its own on the device."""
    if not all(len(call.output_shapes) == 1 for call in uses) or isinstance(layer, _SAME_RANGE):
        return False
    if layer.compute_dtype != "float32" or layer.get_output_at(0).dtype != tf.float32:
        return False
    if _is_sign(layer) or getattr(layer, "activation", None) is keras.activations.softmax:
        return False
    user = _only_user(uses)
    # A dense layer as a convolution has a reshape behind it, which LCE moves out of the way.
    while user is not None and isinstance(user[0].layer, keras.layers.Reshape):
        user = _only_user(user)
    if user is not None and _fuses_into(layer, user[0].layer):
        return False
    return not (all(map(_follows_binary, uses)) and _leads_to_sign(uses))


def _only_user(uses: list[Call]) -> list[Call] | None:
    """The calls of the one layer that takes all outputs; None if there are others."""
    users = [user for call in uses for user in call.users]
    if len({id(user.layer) for user in users}) != 1 or any(call.is_output for call in uses):
        return None
    return users


def _fuses_into(layer: keras.layers.Layer, user: keras.layers.Layer) -> bool:
    """Whether the converter makes the user part of the layer's operator."""
    if isinstance(user, keras.layers.BatchNormalization):
        return is_kernel_layer(layer) and _is_linear(layer)
    linear = is_kernel_layer(layer) or isinstance(layer, keras.layers.BatchNormalization)
    activation = isinstance(user, keras.layers.ReLU) or _fuses(getattr(user, "activation", None))
    return linear and activation and not is_kernel_layer(user)


def _is_linear(layer: keras.layers.Layer) -> bool:
    return getattr(layer, "activation", None) in (None, keras.activations.linear)


def _fuses(activation: Any) -> bool:
    return getattr(activation, "__name__", None) in _FUSED_ACTIVATIONS


def _is_sign(layer: keras.layers.Layer) -> bool:
    return is_sign(layer) or is_sign(getattr(layer, "activation", None))


def _takes_sign(layer: keras.layers.Layer) -> bool:
    """Whether a layer takes nothing but the sign of its input."""
    return _is_sign(layer) or is_sign(getattr(layer, "input_quantizer", None))


def _feeds_signs_alone(uses: list[Call]) -> bool:
    users = [user for call in uses for user in call.users]
    is_output = any(call.is_output for call in uses)
    return not is_output and all(_takes_sign(user.layer) for user in users)


def _follows_binary(call: Call) -> bool:
    """Whether only batch normalization and pooling stand between a binary layer and the output."""
    if is_kernel_layer(call.layer):
        return lint_layer(call.layer).binary
    (producer, *_) = call.producers or [None]
    return isinstance(call.layer, _PACKED) and producer is not None and _follows_binary(producer)


def _leads_to_sign(uses: list[Call]) -> bool:
    """Whether only batch normalization and pooling stand between the output and a sign."""
    user = _only_user(uses)
    if user is None:
        return False
    if isinstance(user[0].layer, _PACKED):
        return _leads_to_sign(user)
    return _takes_sign(user[0].layer)


def _with_observed_inputs(model: keras.Model) -> keras.Model:
    """Observe the real-valued inputs; outputs keep their names."""
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


def _observe(model: keras.Model, data: Any) -> None:
    run = tf.function(model, reduce_retracing=True)
    seen = 0
    for inputs, _ in samples.batches(model, first_calibration_images(data)):
        inputs = [array[: CALIBRATION_IMAGES - seen] for array in inputs]
        run(tf.nest.pack_sequence_as(model.input, [tf.constant(array) for array in inputs]))
        seen += len(inputs[0])
        if seen >= CALIBRATION_IMAGES:
            break
    if not seen:
        raise ValueError("Expected `calibration_data` to hold images. Received: no batch")


def _fake_quantized(layer: keras.layers.Layer) -> Replacement | None:
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
