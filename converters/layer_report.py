"""Matches the operators of a file with the layers of the model that it was made of."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import tf_keras as keras

from kbnn.converters import flatbuffer
from kbnn.converters.device_graph import DenseAsConvolution
from kbnn.converters.flatbuffer import Operator
from kbnn.converters.lint import UNKNOWN_INPUT, LintResult, kernel_layers, lint_layer
from kbnn.converters.macs import macs_of
from kbnn.converters.packing import UNKNOWN, why_not_packed
from kbnn.converters.predicted_size import predicted_bytes
from kbnn.converters.report import (
    BINARY_CONVOLUTION,
    REAL_OPERATORS,
    LayerReport,
    Report,
    output_kind,
)
from kbnn.graph.calls import Call, calls_of

LEFT_REAL = "LCE's converter left it real-valued"
NOT_FOUND = "its operators were not found in the file"


def build_report(device_model: keras.Model, content: bytes, *, int8: bool = False) -> Report:
    """Match a file's operators with the layers of the model that it was converted from.

    A binary convolution is found by its filters, bit for bit (LCE may flip all of a channel's), so
    that the match also shows that the file holds the model's weights; a real-valued layer by its
    weights, up to a scale per channel as of a batch normalization, or else by operator and kernel
    shape, in order.
    """
    operators = flatbuffer.read(content).operators
    calls = calls_of(device_model)
    layers = kernel_layers(device_model)
    uses = [[call for call in calls if call.layer is layer] for layer in layers]
    return Report(
        layers=[
            _layer_report(layer, calls, found)
            for layer, calls, found in zip(layers, uses, _match(uses, operators), strict=True)
        ],
        operators=dict(Counter(operator.name for operator in operators)),
        file_bytes=len(content),
        predicted_bytes=predicted_bytes(device_model, int8=int8),
    )


def _layer_report(
    layer: keras.layers.Layer, uses: list[Call], found: list[Operator]
) -> LayerReport:
    verdict = lint_layer(layer)
    # A layer's operators can share constants.
    constants = {
        id(tensor): tensor.nbytes
        for operator in found
        for tensor in operator.inputs
        if tensor is not None
    }
    return LayerReport(
        layer=layer.name,
        kind=layer.stands_for if isinstance(layer, DenseAsConvolution) else verdict.kind,
        operator=_counted(operator.name for operator in found),
        output=_counted(map(output_kind, found), always=False),
        binary=_is_binary(found),
        bytes=sum(constants.values()) if found else None,
        macs=macs_of(uses),
        note=_note(verdict, uses, found),
    )


def _note(verdict: LintResult, uses: list[Call], found: list[Operator]) -> str:
    note = verdict.problem or verdict.note
    if verdict.binary and not _is_binary(found):
        return LEFT_REAL
    if not found:
        return f"{note}; {NOT_FOUND}"
    if _is_binary(found) and note in ("", UNKNOWN_INPUT):
        real = any(output_kind(operator) != "bit-packed" for operator in found)
        reasons = dict.fromkeys(map(why_not_packed, uses)) if real else {}
        return "; ".join([reason for reason in reasons if reason != UNKNOWN] or reasons)
    return note


def _is_binary(found: list[Operator]) -> bool:
    return bool(found) and all(operator.name == BINARY_CONVOLUTION for operator in found)


def _counted(names: Iterable[str], always: bool = True) -> str:
    """`A`, `2 x A` or `2 x A, B`; without `always`, `A` for any number of A alone."""
    counts = Counter(names)
    if len(counts) == 1 and not always:
        return next(iter(counts))
    return ", ".join(name if count == 1 else f"{count} x {name}" for name, count in counts.items())


def _match(uses: list[list[Call]], operators: list[Operator]) -> list[list[Operator]]:
    """The operators of each layer. Each operator belongs to one layer at most."""
    remaining = list(operators)
    found = [_take(calls, remaining, _holds_weights) for calls in uses]
    for calls, operators_of_layer in zip(uses, found, strict=True):
        if not operators_of_layer and not lint_layer(calls[0].layer).binary:
            operators_of_layer += _take(calls, remaining, _has_shape)
    return found


def _take(
    calls: list[Call], remaining: list[Operator], matches: Callable[[Operator, np.ndarray], bool]
) -> list[Operator]:
    """Remove the operators of a layer's calls from those that remain."""
    kernels = [weight for weight in calls[0].layer.get_weights() if weight.ndim > 1]
    found = []
    for kernel in kernels:
        same = [operator for operator in remaining if matches(operator, kernel)]
        # A recurrent layer multiplies by a kernel many times in one use.
        if len(kernels) == 1 or matches is _has_shape:
            same = same[: len(calls)]
        for operator in same:
            remaining.remove(operator)
        found += same
    return found


def _holds_weights(operator: Operator, kernel: np.ndarray) -> bool:
    return _holds(operator, np.sign(kernel)) or any(
        _proportional(constant, kernel) for constant in _kernels(operator)
    )


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


def _proportional(constant: np.ndarray, kernel: np.ndarray) -> bool:
    """Whether a constant holds a kernel, its output channels first or last, each up to a scale."""
    if constant.size != kernel.size:
        return False
    first, last = constant.shape[0], constant.shape[-1]
    return _same_rows(constant.reshape(first, -1), kernel.reshape(-1, first).T) or _same_rows(
        constant.reshape(-1, last).T, kernel.reshape(-1, last).T
    )


def _same_rows(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether each row of one is that of the other times a number."""
    dot, norms = (a * b).sum(axis=1), np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return bool(np.allclose(np.abs(dot), norms, rtol=1e-4, atol=0.0))


def _has_shape(operator: Operator, kernel: np.ndarray) -> bool:
    return any(_plain(constant.shape) == _plain(kernel.shape) for constant in _kernels(operator))


def _kernels(operator: Operator) -> list[np.ndarray]:
    """The constants of an operator that multiplies by them."""
    if operator.name not in REAL_OPERATORS:
        return []
    return [
        tensor.data
        for tensor in operator.inputs
        if tensor is not None and tensor.data is not None and tensor.data.ndim > 1
    ]


def _plain(shape: Sequence[int]) -> list[int]:
    """A kernel's sizes, whatever their order and their ones are in Keras and on the device."""
    return sorted(size for size in shape if size != 1)
