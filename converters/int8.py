"""Calibrated int8 for layers that are not binary.

The converters turn fake quantization in the graph into int8 arithmetic. kbnn measures the range of
real-valued tensors and writes it into the graph.
"""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn.converters.fake_quantization import CALIBRATION_IMAGES, Observer, quantize_observed
from kbnn.converters.int8_layers import with_observed_layers
from kbnn.converters.int8_rules import feeds_only_signs, fuses_activation, needs_range
from kbnn.converters.linted_model import LintedModel
from kbnn.converters.samples import Samples
from kbnn.graph.larq_quantizers import is_quantizer
from kbnn.graph.layers import from_config
from kbnn.graph.rewrite import Replacement, rewrite

LAYERS = "layers"
ALL = "all"
FORMS = (LAYERS, ALL)
"""int8 for convolutions and dense layers only, and for everything between binary layers."""

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


def quantize_real_layers(
    graph: LintedModel,
    calibration_data: Samples,
    *,
    form: str = LAYERS,
    inputs: bool = False,
    outputs: bool = False,
) -> keras.Model:
    """Mark real-valued tensors of a device graph with their ranges on real data.

    A range is the smallest and the largest value, as in TensorFlow Lite's post-training
    quantization; before a sign it is an eighth of that, which is kbnn's own rule. The converter
    gives weights a scale per channel. Tensors between two binary convolutions stay as they are,
    so that they can be bit-packed.

    Args:
        graph: the device graph.
        calibration_data: images; the first 1,024 are used.
        form: one of `FORMS`.
        inputs: whether the model's real-valued inputs are marked too. With `ALL` they always are.
        outputs: whether the model's real-valued outputs are. With `ALL`, those are that the last
            layers give.

    Returns:
        A model with fake-quantized activations. It computes what the int8 file computes, except for
            the rounding of weights and of ties.

    Raises:
        TypeError: a batch of an unsupported type.
        ValueError: a batch that does not fit the model, no images, or activations that are not
            finite.
    """
    model = LintedModel(rewrite(graph.model, _separate_activation))
    names = graph.model.output_names
    if form == ALL:
        observed = _with_observed_ports(_with_observed_tensors(model), names, {}, None)
    else:
        observed = _with_observed_ports(
            with_observed_layers(model),
            names,
            {"float_after": True} if inputs else None,
            {"float_before": True} if outputs else None,
        )
    return quantize_observed(observed, calibration_data)


def first_calibration_images(calibration_data: Any) -> Any:
    """Limit a dataset, which may be endless, to what calibration uses. Other data stay whole."""
    if isinstance(calibration_data, tf.data.Dataset):
        return calibration_data.take(CALIBRATION_IMAGES)  # batches, each of at least one image
    return calibration_data


def _separate_activation(layer: keras.layers.Layer) -> Replacement | None:
    """Take a softmax, a sigmoid, ... out of its layer, as int8 also needs the range before it."""
    if not isinstance(layer, _ACTIVATED):
        return None
    if fuses_activation(layer.activation) or is_quantizer(layer.activation):
        return None
    linear = from_config(layer, {**layer.get_config(), "activation": "linear"})
    activation = keras.layers.Activation(
        layer.activation, name=f"{layer.name}_activation", dtype="float32"
    )
    return Replacement(linear, layer.get_weights(), then=activation)


def _with_observed_tensors(model: LintedModel) -> keras.Model:
    """Observe every real-valued tensor that is separate on the device."""

    def observed_layer(layer: keras.layers.Layer) -> Replacement | None:
        calls = model.calls_to(layer)
        if not needs_range(layer, calls, model):
            return None
        copy = from_config(layer, layer.get_config())
        observer = Observer(feeds_only_signs(calls), name=f"{layer.name}_range", dtype="float32")
        return Replacement(copy, layer.get_weights(), then=observer)

    return rewrite(model.model, observed_layer)


def _with_observed_ports(
    model: keras.Model,
    output_names: list[str],
    inputs: dict[str, Any] | None,
    outputs: dict[str, Any] | None,
) -> keras.Model:
    """Observe the real-valued inputs and outputs too, and give the outputs the names they had.

    Args:
        model: a model whose output layers may have been replaced.
        output_names: the names that the outputs had.
        inputs: options of the inputs' observers; None for no observers.
        outputs: likewise for the outputs.
    """
    taken = [
        keras.Input(tensor.shape[1:], tensor.shape[0], name=name, dtype=tensor.dtype)
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
    ]
    observed = [
        _observed(tensor, f"{name}_range", inputs)
        for name, tensor in zip(model.input_names, taken, strict=True)
    ]
    given = tf.nest.flatten(model(tf.nest.pack_sequence_as(model.input, observed)))
    named = [
        keras.layers.Activation("linear", name=name, dtype=tensor.dtype)(
            _observed(tensor, f"{name}_output_range", outputs)
        )
        for name, tensor in zip(output_names, given, strict=True)
    ]
    return keras.Model(
        tf.nest.pack_sequence_as(model.input, taken),
        tf.nest.pack_sequence_as(model.output, named),
    )


def _observed(tensor: tf.Tensor, name: str, options: dict[str, Any] | None) -> tf.Tensor:
    if options is None or tensor.dtype != tf.float32:
        return tensor
    return Observer(**options, name=name, dtype="float32")(tensor)
