"""Matches the operators of a file with the layers of the model that it was made of."""

from collections import Counter
from collections.abc import Sequence

import larq as lq
import numpy as np
import tf_keras as keras

from kbnn.converters import flatbuffer
from kbnn.converters.flatbuffer import Operator
from kbnn.converters.lint import Verdict, judge, kernel_layers
from kbnn.converters.predicted_size import predicted_bytes
from kbnn.converters.report import (
    BINARY_CONVOLUTION,
    REAL_OPERATORS,
    LayerReport,
    Report,
    output_kind,
)


def build_report(device_model: keras.Model, content: bytes) -> Report:
    """Match a file's operators with the layers of the model that it was converted from.

    A binary convolution is found by its filters, bit for bit (LCE may flip all of a channel's), so
    that the match also shows that the file holds the model's weights; a real-valued layer by
    operator and kernel shape, in order.
    """
    operators = flatbuffer.read(content).operators
    remaining = list(operators)
    layers = []
    for layer in kernel_layers(device_model):
        verdict = judge(layer)
        found = _take(layer, verdict, remaining)
        output = output_kind(found[-1]) if found else ""
        note = verdict.problem or verdict.note
        if not found and verdict.binary:
            note = "LCE's converter left it real-valued"
        elif verdict.binary and output != "bit-packed" and not note:
            note = "real outputs: its user is no sign, or more than one layer uses it"
        layers.append(
            LayerReport(
                layer=layer.name,
                kind=verdict.kind,
                operator=found[0].name if found else "",
                output=output,
                # A shared layer's operators share their constants in the file.
                bytes=found[0].constant_bytes if found else 0,
                macs=_macs(layer),
                note=note,
            )
        )
    return Report(
        layers=layers,
        operators=dict(Counter(operator.name for operator in operators)),
        file_bytes=len(content),
        predicted_bytes=predicted_bytes(device_model),
    )


def _take(layer: keras.layers.Layer, verdict: Verdict, remaining: list[Operator]) -> list[Operator]:
    """Remove a layer's operators from those that remain."""
    kernel = layer.get_weights()[0]
    found = [operator for operator in remaining if _holds(operator, np.sign(kernel))]
    if not found and not verdict.binary:
        found = [
            operator
            for operator in remaining
            if operator.name in REAL_OPERATORS and _kernel_shape(operator) == _plain(kernel.shape)
        ]
    uses = max(1, len(layer.inbound_nodes))
    found = found[:uses]
    for operator in found:
        remaining.remove(operator)
    return found


def _holds(operator: Operator, kernel: np.ndarray) -> bool:
    """Whether a binary convolution has these filters, each up to its sign."""
    if operator.name != BINARY_CONVOLUTION or kernel.ndim != 4:
        return False
    packed = operator.inputs[1]
    if packed is None or packed.data is None or packed.shape[0] != kernel.shape[-1]:
        return False
    filters = flatbuffer.unpack_filters(packed.data, kernel.shape[2])
    if filters.shape != kernel.shape:
        return False
    return bool(np.all(np.abs((filters * kernel).sum(axis=(0, 1, 2))) == kernel[..., 0].size))


def _kernel_shape(operator: Operator) -> list[int] | None:
    kernel = operator.inputs[1] if len(operator.inputs) > 1 else None
    return None if kernel is None else _plain(kernel.shape)


def _plain(shape: Sequence[int]) -> list[int]:
    """A kernel's sizes, whatever their order and their ones are in Keras and on the device."""
    return sorted(size for size in shape if size != 1)


def _macs(layer: keras.layers.Layer) -> int | None:
    try:
        return lq.models.LayerProfile(layer).op_count("mac")
    except (AttributeError, NotImplementedError):
        return None
