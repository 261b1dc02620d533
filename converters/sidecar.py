"""Writes the sidecar of a device file: how images become inputs, and the names of the classes.

kbnn-runtime reads it, and defines the format: see `runtime/src/kbnn_runtime/sidecar.py`.
"""

import json
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import tf_keras as keras

from kbnn import _checks
from kbnn._files import replace_file
from kbnn.converters.device_file import read_device_file
from kbnn.converters.flatbuffer import Port
from kbnn.converters.ports import input_ports, is_quantized, match_ports
from kbnn.converters.samples import class_count
from kbnn.graph.output_activation import gives_probabilities

FORMAT = 1
_DTYPES = ("uint8", "int8", "float32")
_LARGEST = float(np.finfo(np.float32).max)

Number = float | Sequence[float]


def write_sidecar(
    path: str | os.PathLike,
    model: keras.Model,
    *,
    labels: Sequence[str] | None = None,
    scale: Number = 1.0,
    offset: Number = 0.0,
) -> pathlib.Path:
    r"""Write the sidecar of a device file, `model.json` for `model.tflite`.

    kbnn-runtime reads it next to the file. With it, `Interpreter.classify` and `kbnn-run classify`
    take uint8 images with values from 0 to 255, and return the names of classes:

    $$\mathrm{input} = \mathrm{image} \cdot scale + offset$$

    If the file exists and takes int8 or uint8 in place of float32, the sidecar converts images to
    these integers.

    Args:
        path: the `.tflite` file.
        model: the model that the file was made from, which must classify images.
        labels: the names of the classes, in order.
        scale: a number, or one for each channel.
        offset: a number, or one for each channel.

    Returns:
        The sidecar's path. An existing sidecar is replaced.

    Raises:
        TypeError: the model is not a Keras 2 model.
        ValueError: `path` is not a `.tflite` file; the model does not classify images; `labels`,
            `scale` or `offset` do not fit it; another file has the sidecar's name.

    Example:

    >>> import kbnn
    >>> model = kbnn.models.vgg_tiny(width=8)
    >>> kbnn.converters.write_sidecar(                                       # doctest: +SKIP
    ...     "model.tflite", model, labels=["cat", "dog"], scale=1 / 127.5, offset=-1.0
    ... )
    """
    _checks.keras2_model("model", model)
    sidecar = sidecar_path(path)
    document = sidecar_document(model, labels=labels, scale=scale, offset=offset)
    port = _integer_input(path, model)
    if port is not None:
        document["preprocessing"] = _integer_preprocessing(document["preprocessing"], port)
    with replace_file(sidecar) as temporary:
        temporary.write_text(json.dumps(document, indent=2) + "\n")
    return sidecar


def sidecar_path(path: str | os.PathLike) -> pathlib.Path:
    """The path of a device file's sidecar.

    Raises:
        ValueError: `path` is not a `.tflite` file, or another file has the sidecar's name.
    """
    path = pathlib.Path(path)
    if path.suffix != ".tflite":
        raise _checks.refuse("path", "a file that ends in .tflite", str(path))
    sidecar = path.with_suffix(".json")
    if sidecar.exists() and not _is_sidecar(sidecar):
        raise ValueError(
            f"Expected {sidecar.name} to be absent, or a sidecar that can be replaced, because "
            f"{path.name} needs that name for its sidecar. Received: {sidecar}, which is another "
            "file"
        )
    return sidecar


def sidecar_document(
    model: keras.Model,
    *,
    labels: Sequence[str] | None = None,
    scale: Number = 1.0,
    offset: Number = 0.0,
) -> dict[str, Any]:
    """What `write_sidecar` writes, with the same arguments and errors."""
    count = class_count(model)
    shapes = [tensor.shape for tensor in model.inputs]
    if count is None or len(model.outputs) != 1 or [len(shape) for shape in shapes] != [4]:
        raise ValueError(
            "Expected a model with one input `(batch, height, width, channels)` and one output "
            "`(batch, classes)`. Received: inputs of shapes "
            f"{[tuple(shape) for shape in shapes]}, outputs of shapes "
            f"{[tuple(tensor.shape) for tensor in model.outputs]}"
        )
    dtype = model.inputs[0].dtype.name
    if dtype not in _DTYPES:
        raise ValueError(f"Expected a model whose input is {', '.join(_DTYPES)}. Received: {dtype}")
    if isinstance(labels, str) or (labels is not None and len(labels) != count):
        raise ValueError(
            f"Expected {count} labels, one for each of the model's classes. Received: {labels!r}"
        )
    scales = _numbers("scale", scale, shapes[0][-1])
    offsets = _numbers("offset", offset, shapes[0][-1])
    if 255 * max(map(abs, scales)) + max(map(abs, offsets)) > _LARGEST:
        raise ValueError(
            "Expected `scale` and `offset` that keep the input within float32. "
            f"Received: scale={scale!r}, offset={offset!r}"
        )
    return {
        "format": FORMAT,
        "preprocessing": {
            "dtype": dtype,
            "scale": scales[0] if len(scales) == 1 else scales,
            "offset": offsets[0] if len(offsets) == 1 else offsets,
        },
        "scores": "probabilities" if gives_probabilities(model) else "logits",
        **({} if labels is None else {"labels": list(map(str, labels))}),
    }


def _integer_input(path: str | os.PathLike, model: keras.Model) -> Port | None:
    """The input of a file that takes integers in place of the model's real values, or None."""
    if not os.path.isfile(path):
        return None
    (port,) = match_ports(model, read_device_file(path).graph).file.inputs
    (wanted,) = input_ports(model)
    return port if is_quantized(wanted, port) else None


def _integer_preprocessing(real: dict[str, Any], port: Port) -> dict[str, Any]:
    """The preprocessing for an input that stores `value / scale + zero_point`."""
    step, zero = cast(float, port.scale), port.zero_point
    scale, offset = real["scale"], real["offset"]
    return {
        "dtype": cast(np.dtype, port.dtype).name,
        "scale": [one / step for one in scale] if isinstance(scale, list) else scale / step,
        "offset": (
            [one / step + zero for one in offset]
            if isinstance(offset, list)
            else offset / step + zero
        ),
    }


def _numbers(name: str, value: Number, channels: int | None) -> list[float]:
    values = list(value) if isinstance(value, Iterable) else [value]
    if not all(map(_checks.is_number, values)) or len(values) not in (1, channels):
        expected = f"a finite number, or one for each of {channels} channels"
        raise _checks.refuse(name, expected, value)
    return [float(one) for one in values]


def _is_sidecar(path: pathlib.Path) -> bool:
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and {"format", "preprocessing"} <= document.keys()
