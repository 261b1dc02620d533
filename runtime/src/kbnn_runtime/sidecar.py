"""The sidecar: a JSON file next to a model that describes its preprocessing and its classes.

This module defines the format, for which README.md has a table. `kbnn.converters.write_sidecar`
writes it, and a test of kbnn reads every kind of document that it writes with `Sidecar`.

```json
{
  "format": 1,
  "preprocessing": {"dtype": "float32", "scale": 0.00784313725, "offset": -1, "resize": "crop"},
  "labels": ["cat", "dog"],
  "scores": "logits"
}
```
"""

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from kbnn_runtime.batch import shape_text
from kbnn_runtime.images import convert_channels, resize_image
from kbnn_runtime.tensor import Tensor

FORMAT = 1
DTYPES = ("uint8", "int8", "float32")
RESIZE = ("stretch", "crop")
SCORES = ("logits", "probabilities", "raw")
_KEYS = {"format", "preprocessing", "labels", "scores"}
_PREPROCESSING_KEYS = {"dtype", "scale", "offset", "resize"}
_LARGEST = float(np.finfo(np.float32).max)


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A class predicted for an image.

    Attributes:
        label: The name of the class, or its number as text if the sidecar has no labels.
        index: The number of the class, from 0.
        score: The probability of the class, or the model's output if its scores are "raw".
    """

    label: str
    index: int
    score: float


@dataclasses.dataclass(frozen=True)
class Sidecar:
    """How to convert images to a model's input, and the model's output to classes.

    input = image * scale + offset, where image is uint8, 0 to 255. For integer types the result is
    rounded, halves to even, and clipped to the type's range.

    Attributes:
        dtype: The type of the model's input: "uint8", "int8" or "float32".
        scale: A number, or one for each channel. Stored as a tuple.
        offset: A number, or one for each channel. Stored as a tuple.
        resize: How images of a different size are resized: "stretch" changes their proportions,
            "crop" keeps the largest central part with the model's proportions.
        labels: The names of the classes, or None.
        scores: The meaning of the model's output: "logits", to which `best` applies a softmax,
            "probabilities", or "raw" for any other numbers.

    Raises:
        ValueError: A value is not allowed, or scale and offset exceed the range of float32.
    """

    dtype: str
    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    resize: str = "stretch"
    labels: tuple[str, ...] | None = None
    scores: str = "logits"

    def __post_init__(self) -> None:
        _check_one_of("dtype", self.dtype, DTYPES)
        _check_one_of("resize", self.resize, RESIZE)
        _check_one_of("scores", self.scores, SCORES)
        scale, offset = _to_numbers("scale", self.scale), _to_numbers("offset", self.offset)
        if 255 * max(map(abs, scale)) + max(map(abs, offset)) > _LARGEST:
            raise ValueError(
                "Expected scale and offset that keep the input within float32. "
                f"Received: scale={self.scale!r}, offset={self.offset!r}"
            )
        labels = self.labels
        if labels is not None:
            if not (
                isinstance(labels, list | tuple)
                and labels
                and all(isinstance(name, str) for name in labels)
            ):
                raise ValueError(f"Expected labels to be a list of names. Received: {labels!r}")
            labels = tuple(labels)
        for name, value in (("scale", scale), ("offset", offset), ("labels", labels)):
            object.__setattr__(self, name, value)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Sidecar":
        """Read a sidecar.

        Raises:
            FileNotFoundError: The file does not exist.
            ValueError: The file is not a sidecar of this format.
        """
        text = pathlib.Path(path).read_bytes()
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"Expected a JSON document. Received: {error} (sidecar {os.fspath(path)})"
            ) from error
        try:
            return cls.from_dict(document)
        except ValueError as error:
            raise ValueError(f"{error} (sidecar {os.fspath(path)})") from error

    @classmethod
    def from_dict(cls, document: Any) -> "Sidecar":
        """Make a sidecar from a JSON document.

        Raises:
            ValueError: The document is not a sidecar of this format.
        """
        received = document.get("format") if isinstance(document, dict) else document
        # True is equal to 1.
        if not isinstance(document, dict) or received != FORMAT or isinstance(received, bool):
            raise ValueError(f"Expected an object with format {FORMAT}. Received: {received!r}")
        _check_keys("the sidecar", document, _KEYS)
        preprocessing = document.get("preprocessing")
        if not isinstance(preprocessing, dict):
            raise ValueError(f"Expected preprocessing to be an object. Received: {preprocessing!r}")
        _check_keys("preprocessing", preprocessing, _PREPROCESSING_KEYS)
        return cls(
            dtype=preprocessing.get("dtype", ""),
            scale=preprocessing.get("scale", 1.0),
            offset=preprocessing.get("offset", 0.0),
            resize=preprocessing.get("resize", "stretch"),
            labels=document.get("labels"),
            scores=document.get("scores", "logits"),
        )

    @classmethod
    def of_uint8_model(cls, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> "Sidecar":
        """Make the sidecar of a model that has none and takes images unchanged.

        Raises:
            ValueError: The model does not take uint8 images, or does not return classes.
        """
        if [tensor.dtype.name for tensor in inputs] != ["uint8"]:
            raise ValueError(
                "Expected a model with one input of uint8 images, or a sidecar that says how to "
                f"convert images. Received: inputs of {[tensor.dtype.name for tensor in inputs]} "
                "and no sidecar"
            )
        found = cls(dtype="uint8", scores="raw")
        found.check(inputs, outputs)
        return found

    def check(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        """Raise a ValueError unless the sidecar fits a model with these inputs and outputs."""
        if len(inputs) != 1 or len(inputs[0].shape) not in (3, 4):
            raise ValueError(
                "Expected a model with one input of images. "
                f"Received: inputs of shapes {[shape_text(tensor.shape) for tensor in inputs]}"
            )
        (image,) = inputs
        if image.dtype.name != self.dtype:
            raise ValueError(
                f"Expected a sidecar with dtype {image.dtype.name!r}, the model's input type. "
                f"Received: dtype={self.dtype!r}"
            )
        if len(outputs) != 1 or None in outputs[0].shape[1:] or len(outputs[0].shape) < 2:
            raise ValueError(
                "Expected a model with one output, a score for each class. "
                f"Received: outputs of shapes {[shape_text(tensor.shape) for tensor in outputs]}"
            )
        classes = math.prod(size for size in outputs[0].shape[1:] if size is not None)
        if self.labels is not None and len(self.labels) != classes:
            raise ValueError(
                f"Expected {classes} labels, the model's classes. Received: {len(self.labels)}"
            )
        channels = _channels(image)
        for name, values in (("scale", self.scale), ("offset", self.offset)):
            if channels is not None and len(values) not in (1, channels):
                raise ValueError(
                    f"Expected {name} to be a number or one for each of {channels} channels. "
                    f"Received: {len(values)} numbers"
                )

    def preprocess(self, images: np.ndarray | Sequence[np.ndarray], tensor: Tensor) -> np.ndarray:
        """Convert images, as `Interpreter.classify` takes them, to the input `tensor`."""
        if not isinstance(images, np.ndarray | list | tuple):
            raise TypeError(
                f"Expected an array or a list of images. Received: {type(images).__name__}"
            )
        if not len(images):
            raise ValueError("Expected at least one image. Received: none")
        # A single image: its rows would be taken for gray images with 1 or 3 columns.
        if isinstance(images, np.ndarray) and images.ndim == 3 and images.shape[-1] in (1, 3):
            raise ValueError(
                "Expected images of shape (n, height, width, channels), or a list of images; pass "
                f"a single one as [image]. Received: {images.shape}"
            )
        resized = [self._resize(image, tensor) for image in images]
        shapes = {image.shape for image in resized}
        if len(shapes) > 1:
            raise ValueError(
                "Expected images of the same size, since the model takes any size. "
                f"Received: {sorted(shapes)}"
            )
        pixels = np.stack(resized)
        stored = pixels
        if self.scale != (1.0,) or self.offset != (0.0,) or self.dtype != "uint8":
            real = pixels.astype(np.float32) * np.array(self.scale, np.float32)
            real += np.array(self.offset, np.float32)
            if self.dtype != "float32":
                bounds = np.iinfo(self.dtype)
                real = np.clip(np.rint(real), bounds.min, bounds.max)
            stored = real.astype(self.dtype)
        return stored if len(tensor.shape) == 4 else stored[..., 0]

    def best(self, rows: np.ndarray, top: int) -> list[list[Prediction]]:
        """Return the `top` classes of each row of real-valued scores, best first."""
        rows = rows.reshape(len(rows), -1).astype(np.float64)
        # Sorted before the softmax, which rounds small scores to 0. Stable, so that the first of
        # equal scores wins, as with argmax.
        order = np.argsort(-rows, axis=1, kind="stable")[:, :top]
        if self.scores == "logits":
            rows = np.exp(rows - rows.max(axis=1, keepdims=True))
            rows /= rows.sum(axis=1, keepdims=True)
        return [
            [
                Prediction(self.labels[i] if self.labels else str(i), int(i), float(row[i]))
                for i in indices
            ]
            for row, indices in zip(rows, order, strict=True)
        ]

    def _resize(self, image: Any, tensor: Tensor) -> np.ndarray:
        """Convert one image to uint8 (height, width, channels) of the model's size."""
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
            kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
            raise TypeError(f"Expected images to be uint8 arrays. Received: {kind}")
        if image.ndim == 2:
            image = image[..., None]
        if image.ndim != 3 or image.shape[-1] not in (1, 3) or 0 in image.shape:
            raise ValueError(
                "Expected images of shape (height, width), (height, width, 1) or "
                f"(height, width, 3). Received: {image.shape}"
            )
        channels = _channels(tensor)
        if channels is not None:
            image = convert_channels(image, channels)
        height, width = tensor.shape[1:3]
        if height is None or width is None:
            return image
        return resize_image(image, height, width, self.resize)


def _channels(tensor: Tensor) -> int | None:
    return tensor.shape[3] if len(tensor.shape) == 4 else 1


def _check_keys(where: str, document: dict[str, Any], known: set[str]) -> None:
    unknown = sorted(set(document) - known)
    if unknown:
        raise ValueError(f"Expected {where} to have only {sorted(known)}. Received: {unknown}")


def _check_one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"Expected {name} to be one of {known}. Received: {name}={value!r}")


def _to_numbers(name: str, value: Any) -> tuple[float, ...]:
    values = value if isinstance(value, list | tuple) else [value]
    are_numbers = values and all(
        isinstance(entry, int | float) and not isinstance(entry, bool) and abs(entry) <= _LARGEST
        for entry in values
    )
    if not are_numbers:
        raise ValueError(
            f"Expected {name} to be a finite float32 number or a list of such numbers. "
            f"Received: {name}={value!r}"
        )
    return tuple(float(entry) for entry in values)
