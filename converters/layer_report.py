"""Matches the operators of a file with the layers of the model that it was made from."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import tf_keras as keras

from kbnn.converters import flatbuffer
from kbnn.converters.device_file import DeviceFile
from kbnn.converters.device_graph import DenseAsConvolution
from kbnn.converters.flatbuffer import Operator
from kbnn.converters.lint_rules import LintResult
from kbnn.converters.linted_model import LintedModel
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
from kbnn.graph.calls import Call

LEFT_REAL = "the converter left it real-valued"
NOT_FOUND = "its operators were not found in the file"


def build_report(graph: LintedModel, file: DeviceFile, *, int8: bool = False) -> Report:
    """Match a file's operators with the layers of the device graph that it was converted from.

    A binary convolution is recognised by its filters, bit for bit (LCE may flip all filters of a
    channel), so the match also proves that the file holds the model's weights. A real-valued layer
    is recognised by its weights, up to the scale per channel of a batch normalization, or else by
    operator and kernel shape, in order.

    Args:
        graph: the device graph.
        file: the file.
        int8: whether the real-valued layers were quantized to int8.
    """
    operators = file.graph.operators
    found = _match_operators(graph, operators)
    return Report(
        layers=[
            _layer_report(layer, graph, operators_of_layer)
            for layer, operators_of_layer in zip(graph.kernel_layers, found, strict=True)
        ],
        operators=dict(Counter(operator.name for operator in operators)),
        file_bytes=len(file.content),
        predicted_bytes=predicted_bytes(graph, int8=int8),
    )


def _layer_report(
    layer: keras.layers.Layer, graph: LintedModel, found: list[Operator]
) -> LayerReport:
    calls, lint_result = graph.calls_to(layer), graph.lint(layer)
    # A layer's operators can share constants.
    constants = {
        id(tensor): tensor.nbytes
        for operator in found
        for tensor in operator.inputs
        if tensor is not None
    }
    return LayerReport(
        layer=layer.name,
        kind=layer.replaced_class if isinstance(layer, DenseAsConvolution) else lint_result.kind,
        operator=_count_text(operator.name for operator in found),
        output=_count_text(map(output_kind, found), always=False),
        binary=_is_binary(found),
        bytes=sum(constants.values()) if found else None,
        macs=macs_of(calls),
        note=_note(lint_result, calls, found),
        warning=lint_result.warning,
    )


def _note(lint_result: LintResult, calls: list[Call], found: list[Operator]) -> str:
    note = lint_result.problem or lint_result.note
    if lint_result.binary and not _is_binary(found):
        return LEFT_REAL
    if not found:
        return f"{note}; {NOT_FOUND}"
    if _is_binary(found) and not note:
        real = any(output_kind(operator) != "bit-packed" for operator in found)
        reasons = dict.fromkeys(map(why_not_packed, calls)) if real else {}
        return "; ".join([reason for reason in reasons if reason != UNKNOWN] or reasons)
    return note


def _is_binary(found: list[Operator]) -> bool:
    return bool(found) and all(operator.name == BINARY_CONVOLUTION for operator in found)


def _count_text(names: Iterable[str], always: bool = True) -> str:
    """`A`, `2 x A` or `2 x A, B`; without `always`, `A` for any number of only A."""
    counts = Counter(names)
    if len(counts) == 1 and not always:
        return next(iter(counts))
    return ", ".join(name if count == 1 else f"{count} x {name}" for name, count in counts.items())


def _match_operators(graph: LintedModel, operators: list[Operator]) -> list[list[Operator]]:
    """The operators of each kernel layer. Each operator belongs to at most one layer."""
    remaining = list(operators)
    found = [
        _take_operators(graph.calls_to(layer), remaining, _holds_weights)
        for layer in graph.kernel_layers
    ]
    for layer, operators_of_layer in zip(graph.kernel_layers, found, strict=True):
        if not operators_of_layer and not graph.lint(layer).binary:
            operators_of_layer += _take_operators(graph.calls_to(layer), remaining, _has_shape)
    return found


def _take_operators(
    calls: list[Call], remaining: list[Operator], matches: Callable[[Operator, np.ndarray], bool]
) -> list[Operator]:
    """Remove the operators of a layer's calls from those that remain, and return them."""
    kernels = [weight for weight in calls[0].layer.get_weights() if weight.ndim > 1]
    found = []
    for kernel in kernels:
        same = [operator for operator in remaining if matches(operator, kernel)]
        # A recurrent layer multiplies by a kernel many times in one call.
        if len(kernels) == 1 or matches is _has_shape:
            same = same[: len(calls)]
        for operator in same:
            remaining.remove(operator)
        found += same
    return found


def _holds_weights(operator: Operator, kernel: np.ndarray) -> bool:
    return _holds_filters(operator, np.sign(kernel)) or any(
        _is_proportional(constant, kernel) for constant in _kernels(operator)
    )


def _holds_filters(operator: Operator, kernel: np.ndarray) -> bool:
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


def _is_proportional(constant: np.ndarray, kernel: np.ndarray) -> bool:
    """Whether a constant holds a kernel, its output channels first or last, each up to a scale."""
    if constant.size != kernel.size:
        return False
    first, last = constant.shape[0], constant.shape[-1]
    return _proportional_rows(
        constant.reshape(first, -1), kernel.reshape(-1, first).T
    ) or _proportional_rows(constant.reshape(-1, last).T, kernel.reshape(-1, last).T)


def _proportional_rows(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether each row of `a` is a multiple of the same row of `b`."""
    dot, norms = (a * b).sum(axis=1), np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return bool(np.allclose(np.abs(dot), norms, rtol=1e-4, atol=0.0))


def _has_shape(operator: Operator, kernel: np.ndarray) -> bool:
    return any(
        _sorted_sizes(constant.shape) == _sorted_sizes(kernel.shape)
        for constant in _kernels(operator)
    )


def _kernels(operator: Operator) -> list[np.ndarray]:
    """The constants by which an operator multiplies."""
    if operator.name not in REAL_OPERATORS:
        return []
    return [
        tensor.data
        for tensor in operator.inputs
        if tensor is not None and tensor.data is not None and tensor.data.ndim > 1
    ]


def _sorted_sizes(shape: Sequence[int]) -> list[int]:
    """A kernel's sizes other than 1, sorted, as Keras and the device order them differently."""
    return sorted(size for size in shape if size != 1)
