"""A `.tflite` file that LiteRT has verified, with what it holds."""

import os
import pathlib
from typing import NamedTuple

from kbnn.converters import flatbuffer


class DeviceFile(NamedTuple):
    """The content of a valid `.tflite` file, parsed once.

    Attributes:
        content: the file's bytes.
        graph: its operators, inputs and outputs.
    """

    content: bytes
    graph: flatbuffer.Flatbuffer


def read_device_file(path: str | os.PathLike) -> DeviceFile:
    """Read a file and verify it.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not a valid `.tflite` file.
    """
    return parse_device_file(pathlib.Path(path).read_bytes(), str(path))


def parse_device_file(content: bytes, name: str) -> DeviceFile:
    """Verify a file's content and parse it.

    LiteRT verifies it: LCE's interpreter crashes on a broken file.

    Args:
        content: the file's bytes.
        name: the file's name, for the error.

    Raises:
        ValueError: the content is not a valid `.tflite` file.
    """
    from ai_edge_litert.interpreter import Interpreter

    try:
        Interpreter(model_content=content)
    except ValueError as error:
        raise ValueError(
            f"Expected `{name}` to be a valid .tflite file. "
            f"Received: {len(content)} bytes that LiteRT refuses ({error})"
        ) from error
    return DeviceFile(content, flatbuffer.read(content))
