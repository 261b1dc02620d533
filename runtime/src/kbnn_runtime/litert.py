"""The installed LiteRT: ai-edge-litert, or tflite-runtime on platforms without its wheel."""

from typing import Any

try:
    from ai_edge_litert import interpreter as _interpreter
except ModuleNotFoundError as error:
    if error.name != "ai_edge_litert":
        raise
    try:
        from tflite_runtime import interpreter as _interpreter
    except ModuleNotFoundError as error:
        if error.name != "tflite_runtime":
            raise
        raise ImportError(
            "Expected ai-edge-litert or tflite-runtime to be installed. Received: neither. "
            "Run `pip install ai-edge-litert`, or on 32-bit ARM `pip install tflite-runtime`."
        ) from error

LiteRTInterpreter: Any = _interpreter.Interpreter
load_external_delegate: Any = _interpreter.load_delegate
PACKAGE: str = _interpreter.__name__.partition(".")[0].replace("_", "-")
