"""int8 for real-valued convolutions and dense layers only.

Each of these layers rounds its input and its output. What is between them computes in floats, so
that sums, average pooling and lone batch normalization do not round once more.
"""

import tf_keras as keras

from kbnn.converters.fake_quantization import Observer
from kbnn.converters.int8_rules import feeds_only_signs, fuses_activation
from kbnn.converters.linted_model import LintedModel
from kbnn.graph.calls import Call, common_shape
from kbnn.graph.layers import from_config
from kbnn.graph.rewrite import Replacement, rewrite
from kbnn.graph.signs import gives_signs

_INT8_LAYERS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.Dense,
)
# Layers whose int8 output has the scale of their input.
_SAME_SCALE = (
    keras.layers.Flatten,
    keras.layers.MaxPooling2D,
    keras.layers.Reshape,
    keras.layers.ZeroPadding2D,
)


def with_observed_layers(model: LintedModel) -> keras.Model:
    """Observe the inputs and outputs of the layers that compute in int8."""
    layers = [layer for layer in model.kernel_layers if _computes_in_int8(layer, model)]
    outputs: dict[int, Observer] = {}
    for layer in layers:
        last = _last_folded(layer, model)
        outputs[id(last)] = Observer(
            feeds_only_signs(model.calls_to(last)),
            float_after=True,
            name=f"{last.name}_range",
            dtype="float32",
        )
    int8_layers = set(map(id, layers))

    def observed_layer(layer: keras.layers.Layer) -> Replacement | None:
        output = outputs.get(id(layer))
        if id(layer) not in int8_layers and output is None:
            return None
        copy = from_config(layer, layer.get_config())
        if id(layer) not in int8_layers:
            return Replacement(copy, layer.get_weights(), then=output)
        calls = model.calls_to(layer)
        source = _source(calls)
        observer = Observer(
            same_as=None if source is None else outputs.get(id(source)),
            float_before=True,
            name=f"{layer.name}_input_range",
            dtype="float32",
        )
        image = keras.Input(common_shape(calls)[1:])
        # The nested model has the layer's name too, because the outer model knows only this one.
        nested = keras.Model(image, copy(observer(image)), name=layer.name)
        return Replacement(nested, lambda _: copy.set_weights(layer.get_weights()), then=output)

    return rewrite(model.model, observed_layer)


def _computes_in_int8(layer: keras.layers.Layer, model: LintedModel) -> bool:
    calls = model.calls_to(layer)
    return (
        isinstance(layer, _INT8_LAYERS)
        and layer.compute_dtype == "float32"
        and fuses_activation(layer.activation)
        and getattr(layer, "input_quantizer", None) is None
        and not model.runs_binary(layer)
        and bool(calls)
        and not any(gives_signs(call.producers[0]) for call in calls)
        and len({len(call.input_shapes[0]) for call in calls}) == 1
    )


def _last_folded(layer: keras.layers.Layer, model: LintedModel) -> keras.layers.Layer:
    """The last of the layers that become one operator with a kernel layer."""
    last, activated = layer, not _is_linear(layer)
    normalized = False
    while not activated and (user := _only_user(last, model)) is not None:
        if isinstance(user, keras.layers.BatchNormalization):
            if normalized or not _normalizes_channels(user, model):
                break
            normalized = True
        elif _is_fused_relu(user):
            activated = True
        else:
            break
        last = user
    return last


def _only_user(layer: keras.layers.Layer, model: LintedModel) -> keras.layers.Layer | None:
    """The only layer that takes a layer's output, if it takes nothing else; or else None."""
    calls = model.calls_to(layer)
    users = [user for call in calls for user in call.users]
    if any(call.is_output for call in calls) or len({id(user.layer) for user in users}) != 1:
        return None
    user = users[0].layer
    taken = [producer for call in model.calls_to(user) for producer in call.producers]
    ours = len(taken) == len(calls) and all(call in calls for call in taken)
    return user if ours else None


def _normalizes_channels(layer: keras.layers.BatchNormalization, model: LintedModel) -> bool:
    """Whether a batch normalization treats each output channel of a kernel layer separately."""
    (axis,) = layer.axis
    return all(axis == len(call.input_shapes[0]) - 1 for call in model.calls_to(layer))


def _is_linear(layer: keras.layers.Layer) -> bool:
    return layer.activation is keras.activations.linear


def _is_fused_relu(layer: keras.layers.Layer) -> bool:
    if isinstance(layer, keras.layers.ReLU):
        plain = not layer.negative_slope and not layer.threshold
        return plain and (layer.max_value is None or layer.max_value == 6)
    return isinstance(layer, keras.layers.Activation) and fuses_activation(layer.activation)


def _source(calls: list[Call]) -> keras.layers.Layer | None:
    """The layer that gives the inputs of these calls, up to layers that keep the scale."""
    sources = {}
    for call in calls:
        producer = call.producers[0]
        while producer is not None and isinstance(producer.layer, _SAME_SCALE):
            producer = producer.producers[0]
        if producer is None:
            return None
        sources[id(producer.layer)] = producer.layer
    return next(iter(sources.values())) if len(sources) == 1 else None
