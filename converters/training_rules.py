"""The rules that find what keeps a binary network from learning, although it would convert.

Each rule begins at a sign in front of a layer with a kernel and walks back. It stops without a
finding at every layer that it does not know, so that networks that can learn get no warning.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf
import tf_keras as keras

from kbnn.converters.non_negative import describe, is_sign_layer, non_negative_source
from kbnn.graph.calls import Call
from kbnn.graph.larq_quantizers import has_one_bit_kernel, is_sign
from kbnn.graph.signs import gives_signs, preserves_signs

ALWAYS_POSITIVE = (
    "{sign} takes the output of {source}, which is never negative, so all signs are +1 and the "
    "network cannot learn; put batch normalization in front of the sign, or remove what makes its "
    "inputs positive"
)
NO_NORMALIZATION = (
    "{sign} takes the sums of {source} without normalization, and most of these are too large to "
    "pass a gradient through the sign, so the network hardly learns; put batch normalization in "
    "between"
)
NO_GRADIENT = (
    "its input quantizer is tf.sign, which passes no gradient, so nothing before it learns; use "
    'input_quantizer="ste_sign"'
)

# Layers that do not bring sums into the range in which a sign passes gradients.
_NO_NORMALIZATION = (
    *(keras.layers.Activation, keras.layers.ELU, keras.layers.LeakyReLU, keras.layers.PReLU),
    *(keras.layers.ReLU, keras.layers.ThresholdedReLU),
    *(keras.layers.AveragePooling1D, keras.layers.AveragePooling2D),
    *(keras.layers.GlobalAveragePooling1D, keras.layers.GlobalAveragePooling2D),
    *(keras.layers.ZeroPadding1D, keras.layers.ZeroPadding2D, keras.layers.UpSampling2D),
    *(keras.layers.SpatialDropout1D, keras.layers.SpatialDropout2D),
    *(keras.layers.Add, keras.layers.Average, keras.layers.Maximum),
)


class _Sign(NamedTuple):
    """A sign.

    Attributes:
        text: how a message names it.
        sources: the calls whose outputs it takes; None means an input of the model.
        dtypes: the types of these outputs.
    """

    text: str
    sources: Sequence[Call | None]
    dtypes: Sequence[str]


def training_warning(calls: Sequence[Call]) -> str:
    """Tell what in front of a layer keeps the network from learning, and what to change.

    Args:
        calls: the calls of a layer with a kernel.

    Returns:
        One sentence; "" for nothing.
    """
    if any(getattr(call.layer, "input_quantizer", None) is tf.sign for call in calls):
        return NO_GRADIENT
    for call in calls:
        for sign in _signs_before(call):
            sources = [
                non_negative_source(source, dtype)
                for source, dtype in zip(sign.sources, sign.dtypes, strict=True)
            ]
            if sources and all(sources):
                return ALWAYS_POSITIVE.format(sign=sign.text, source=sources[0])
            unnormalized = _unnormalized_source(sign.sources)
            if unnormalized is not None:
                return NO_NORMALIZATION.format(sign=sign.text, source=describe(unnormalized))
    return ""


def _signs_before(call: Call) -> list[_Sign]:
    """The signs of the values that a layer with a kernel multiplies."""
    quantizer = getattr(call.layer, "input_quantizer", None)
    if quantizer is not None:
        text = "its input quantizer"
        return [_Sign(text, call.producers, call.input_dtypes)] if is_sign(quantizer) else []
    found, remaining = [], list(call.producers)
    while remaining:
        producer = remaining.pop(0)
        if producer is None:
            continue
        if is_sign_layer(producer.layer):
            text = f"the sign {describe(producer)}"
            found.append(_Sign(text, producer.producers, producer.input_dtypes))
        elif has_one_bit_kernel(producer.layer) and gives_signs(producer):
            # The sums inside the layer can be negative, whatever the layer takes.
            found.append(_Sign(f"the activation of {describe(producer)}", [producer], [""]))
        elif preserves_signs(producer.layer):
            remaining += producer.producers
    return found


def _unnormalized_source(sources: Sequence[Call | None]) -> Call | None:
    """A binary layer whose sums reach a sign without normalization; None if there is none."""
    remaining, seen = list(sources), set()
    while remaining:
        call = remaining.pop()
        if call is None or id(call) in seen:
            continue
        seen.add(id(call))
        if has_one_bit_kernel(call.layer):
            return call
        if (
            isinstance(call.layer, _NO_NORMALIZATION)
            or preserves_signs(call.layer)
            or is_sign_layer(call.layer)
        ):
            remaining += call.producers
    return None
