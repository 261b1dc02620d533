"""The names of Larq that kbnn uses. No other module of kbnn imports Larq.

`tests/test_larq.py` checks the behaviour that kbnn relies on. Layers of Larq also reach kbnn in a
user's model; kbnn reads their attributes `input_quantizer`, `kernel_quantizer` (and the like for
other kernels), `pad_values`, `precision` and, of a kernel, `latent_variable`.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

INSTALL = "pip install --no-deps larq==0.14.0 terminaltables"
"""Larq works with NumPy 2, but its metadata asks for NumPy 1, which Python 3.13 does not have."""

try:
    from larq import context
    from larq.constraints import WeightClip
    from larq.layers import QuantConv1D, QuantConv2D, QuantConv3D, QuantDense
    from larq.layers_base import BaseLayer
    from larq.math import sign
    from larq.models import summary as larq_summary
    from larq.quantizers import (
        ApproxSign,
        MagnitudeAwareSign,
        NoOp,
        Quantizer,
        SteSign,
        SwishSign,
        ste_sign,
    )
    from larq.quantizers import get as get_quantizer
    from larq.quantizers import serialize as serialize_quantizer
    from larq.utils import register_alias
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("larq", "terminaltables"):
        raise
    raise ImportError(
        f"Expected Larq to be installed. Received: {error}. Run `{INSTALL}`."
    ) from error


def _left_after_errors(scope: Callable[..., Any]) -> Callable[..., Any]:
    """A scope of Larq's that is left after an error too.

    Larq itself stays inside. For example, a layer that fails while it is called leaves all kernels
    quantized, so the next training replaces the latent weights by their signs.
    """

    @contextlib.contextmanager
    def fixed(*arguments: Any, **options: Any) -> Iterator[Any]:
        inner = scope(*arguments, **options)
        value = inner.__enter__()
        try:
            yield value
        finally:
            inner.__exit__(None, None, None)

    return fixed


# Larq's layers look these names up in the module.
quantized_scope = context.quantized_scope = _left_after_errors(context.quantized_scope)
context.metrics_scope = _left_after_errors(context.metrics_scope)

__all__ = [
    "ApproxSign",
    "BaseLayer",
    "MagnitudeAwareSign",
    "NoOp",
    "QuantConv1D",
    "QuantConv2D",
    "QuantConv3D",
    "QuantDense",
    "Quantizer",
    "SteSign",
    "SwishSign",
    "WeightClip",
    "get_quantizer",
    "larq_summary",
    "quantized_scope",
    "register_alias",
    "serialize_quantizer",
    "sign",
    "ste_sign",
]
