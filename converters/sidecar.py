"""What a device needs besides the file: how images become inputs, what the classes are called."""

import json
import math
import numbers
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import tf_keras as keras

from kbnn import _checks
from kbnn._files import replace_file
from kbnn.converters import samples
from kbnn.graph.output_activation import gives_probabilities

# kbnn_runtime.sidecar defines the format and reads it.
FORMAT = 1
_DTYPES = ("uint8", "int8", "float32")

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

    kbnn-runtime reads it beside the file, and so its `classify` and `kbnn-run classify` take images
    as they are, uint8 from 0 to 255, and give classes by their names:

    $$\mathrm{input} = \mathrm{image} \cdot scale + offset$$

    Args:
        path: the `.tflite` file.
        model: the model that it was made of: a classifier of images.
        labels: the names of the classes, in their order.
        scale: a number, or one for each channel.
        offset: the same.

    Returns:
        The sidecar's path. One that was there is replaced.

    Raises:
        TypeError: the model is not a Keras 2 model.
        ValueError: `path` is no `.tflite` file; a model that is not one of images and classes, or
            whose labels or channels are another number; a file there that is no sidecar.

    >>> import kbnn
    >>> model = kbnn.models.vgg_tiny(width=8)
    >>> kbnn.converters.write_sidecar(                                       # doctest: +SKIP
    ...     "model.tflite", model, labels=["cat", "dog"], scale=1 / 127.5, offset=-1.0
    ... )
    """
    _checks.keras2_model("model", model)
    sidecar = place(path)
    document = described(model, labels=labels, scale=scale, offset=offset)
    with replace_file(sidecar) as temporary:
        temporary.write_text(json.dumps(document, indent=2) + "\n")
    return sidecar


def place(path: str | os.PathLike) -> pathlib.Path:
    """Where the sidecar of a device file stands.

    Raises:
        ValueError: no `.tflite` file; another file stands there.
    """
    path = pathlib.Path(path)
    if path.suffix != ".tflite":
        raise ValueError(f"Expected `path` to end in .tflite. Received: path={str(path)!r}")
    sidecar = path.with_suffix(".json")
    if sidecar.exists() and not _is_sidecar(sidecar):
        raise ValueError(
            "Expected no file, or a sidecar that can be replaced, where the sidecar of "
            f"{path.name} stands. Received: {sidecar}, which is another file"
        )
    return sidecar


def described(
    model: keras.Model,
    *,
    labels: Sequence[str] | None = None,
    scale: Number = 1.0,
    offset: Number = 0.0,
) -> dict[str, Any]:
    """The sidecar as `write_sidecar` writes it."""
    count = samples.classes(model)
    shapes = [tensor.shape for tensor in model.inputs]
    if count is None or len(model.outputs) != 1 or [len(shape) for shape in shapes] != [4]:
        raise ValueError(
            "Expected a model with one input of images `(batch, height, width, channels)` and one "
            "output `(batch, classes)`. Received: inputs of shapes "
            f"{[tuple(shape) for shape in shapes]}, outputs of shapes "
            f"{[tuple(tensor.shape) for tensor in model.outputs]}"
        )
    dtype = model.inputs[0].dtype.name
    if dtype not in _DTYPES:
        raise ValueError(
            f"Expected a model that takes images of {', '.join(_DTYPES)}. Received: {dtype}"
        )
    if isinstance(labels, str) or (labels is not None and len(labels) != count):
        raise ValueError(f"Expected {count} labels, the model's classes. Received: {labels!r}")
    return {
        "format": FORMAT,
        "preprocessing": {
            "dtype": dtype,
            "scale": _numbers("scale", scale, shapes[0][-1]),
            "offset": _numbers("offset", offset, shapes[0][-1]),
        },
        "scores": "probabilities" if gives_probabilities(model) else "logits",
        **({} if labels is None else {"labels": list(map(str, labels))}),
    }


def _numbers(name: str, value: Number, channels: int | None) -> float | list[float]:
    values = [value] if isinstance(value, numbers.Real) else list(value)  # type: ignore[arg-type]
    fine = all(isinstance(one, numbers.Real) and math.isfinite(one) for one in values)
    if not fine or len(values) not in (1, channels):
        raise ValueError(
            f"Expected `{name}` to be a number, or one for each of {channels} channels. "
            f"Received: {name}={value!r}"
        )
    return float(values[0]) if len(values) == 1 else [float(one) for one in values]


def _is_sidecar(path: pathlib.Path) -> bool:
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and {"format", "preprocessing"} <= document.keys()
