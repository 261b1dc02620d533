"""What is asked of the scope in which Larq's layers read kernels and call what they hold."""

import inspect

from larq.quantized_variable import QuantizedVariable


def reads_kernel() -> bool:
    """Whether a kernel is being read, through the quantizer that asks.

    A layer reads its kernel and calls its activation in one scope, so the scope does not tell.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code is QuantizedVariable._quantize.__code__:
            return True
        frame = frame.f_back
    return False
