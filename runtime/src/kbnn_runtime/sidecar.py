"""The sidecar of a model: what its images must be like, and what its classes are called.

A JSON file beside the model, `model.json` for `model.tflite`; README.md has its fields.
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
from kbnn_runtime.images import resized, with_channels
from kbnn_runtime.tensor import Tensor

_FORMAT = 1
_DTYPES = ("uint8", "int8", "float32")
_RESIZE = ("stretch", "crop")
_SCORES = ("logits", "probabilities", "raw")
_KEYS = {"format", "preprocessing", "labels", "scores"}
_LARGEST = float(np.finfo(np.float32).max)
_PREPROCESSING_KEYS = {"dtype", "scale", "offset", "resize"}


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A class that an image may be of.

    Attributes:
        label: Its name, or its number as text where names are not known.
        index: Its number, from 0.
        score: Its probability, or what the model gave where that is not known.
    """

    label: str
    index: int
    score: float


@dataclasses.dataclass(frozen=True)
class Sidecar:
    """How images become a model's input, and its outputs classes.

    stored = image * scale + offset, where image is uint8, 0 to 255. For integer types it is
    rounded, halves to even, and clipped to the type's range.

    Attributes:
        dtype: "uint8", "int8" or "float32": the model's input.
        scale: A number, or one for each channel; kept as a tuple.
        offset: A number, or one for each channel; kept as a tuple.
        resize: "stretch" or "crop", for images of another size than the model's.
        labels: The names of the classes, or None.
        scores: What the model's output is: "logits", whose softmax is taken, "probabilities", or
            "raw", which is shown as it is.

    Raises:
        ValueError: A value is none of these, or scale and offset lead out of float32.
    """

    dtype: str
    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    resize: str = "stretch"
    labels: tuple[str, ...] | None = None
    scores: str = "logits"

    def __post_init__(self) -> None:
        _check_one_of("dtype", self.dtype, _DTYPES)
        _check_one_of("resize", self.resize, _RESIZE)
        _check_one_of("scores", self.scores, _SCORES)
        scale, offset = _numbers("scale", self.scale), _numbers("offset", self.offset)
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
            FileNotFoundError: There is no such file.
            ValueError: It is not a sidecar of this format.
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
        """The sidecar of a JSON document.

        Raises:
            ValueError: It is not one of format 1.
        """
        received = document.get("format") if isinstance(document, dict) else document
        # True is equal to 1.
        if not isinstance(document, dict) or received != _FORMAT or isinstance(received, bool):
            raise ValueError(f"Expected an object with format {_FORMAT}. Received: {received!r}")
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
        """What is known of a model without a sidecar: it takes images as they are.

        Raises:
            ValueError: It does not take uint8 images, or gives no classes.
        """
        if [tensor.dtype.name for tensor in inputs] != ["uint8"]:
            raise ValueError(
                "Expected a model with one input of uint8 images, or a sidecar that says how "
                f"images become its input. Received: inputs of "
                f"{[tensor.dtype.name for tensor in inputs]} and no sidecar"
            )
        found = cls(dtype="uint8", scores="raw")
        found.check(inputs, outputs)
        return found

    def check(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        """Raise a ValueError unless a model with these inputs and outputs can have this sidecar."""
        if len(inputs) != 1 or len(inputs[0].shape) not in (3, 4):
            raise ValueError(
                "Expected a model with one input of images. "
                f"Received: inputs of shapes {[shape_text(tensor.shape) for tensor in inputs]}"
            )
        (image,) = inputs
        if image.dtype.name != self.dtype:
            raise ValueError(
                f"Expected a sidecar with dtype {image.dtype.name!r}, which the model takes. "
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

    def preprocessed(self, images: np.ndarray | Sequence[np.ndarray], tensor: Tensor) -> np.ndarray:
        """The model's input for images: see `Interpreter.classify`."""
        if not isinstance(images, np.ndarray | list | tuple):
            raise TypeError(
                f"Expected an array or a list of images. Received: {type(images).__name__}"
            )
        if not len(images):
            raise ValueError("Expected at least one image. Received: none")
        # Its rows would pass for gray images, of one column or three.
        if isinstance(images, np.ndarray) and images.ndim == 3 and images.shape[-1] in (1, 3):
            raise ValueError(
                "Expected images of shape (n, height, width, channels), or a list of them; one "
                f"image is [image]. Received: {images.shape}"
            )
        fitted = [self._one(image, tensor) for image in images]
        shapes = {image.shape for image in fitted}
        if len(shapes) > 1:
            raise ValueError(
                "Expected images of one size for a model that takes any size. "
                f"Received: {sorted(shapes)}"
            )
        ready = np.stack(fitted)
        stored = ready
        if self.scale != (1.0,) or self.offset != (0.0,) or self.dtype != "uint8":
            real = ready.astype(np.float32) * np.array(self.scale, np.float32)
            real += np.array(self.offset, np.float32)
            if self.dtype != "float32":
                bounds = np.iinfo(self.dtype)
                real = np.clip(np.rint(real), bounds.min, bounds.max)
            stored = real.astype(self.dtype)
        return stored if len(tensor.shape) == 4 else stored[..., 0]

    def best(self, rows: np.ndarray, top: int) -> list[list[Prediction]]:
        """The `top` classes of each row of scores, real values, the best first."""
        rows = rows.reshape(len(rows), -1).astype(np.float64)
        # Before the softmax, which rounds small ones to 0. Stable: of equal scores the first class
        # counts, as with argmax.
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

    def _one(self, image: Any, tensor: Tensor) -> np.ndarray:
        """One image as uint8 (height, width, channels) of the model's size."""
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
            kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
            raise TypeError(f"Expected images to be arrays of uint8. Received: {kind}")
        if image.ndim == 2:
            image = image[..., None]
        if image.ndim != 3 or image.shape[-1] not in (1, 3) or 0 in image.shape:
            raise ValueError(
                "Expected images of shape (height, width), (height, width, 1) or "
                f"(height, width, 3). Received: {image.shape}"
            )
        channels = _channels(tensor)
        if channels is not None:
            image = with_channels(image, channels)
        height, width = tensor.shape[1:3]
        if height is None or width is None:
            return image
        return resized(image, height, width, self.resize)


def _channels(tensor: Tensor) -> int | None:
    return tensor.shape[3] if len(tensor.shape) == 4 else 1


def _check_keys(where: str, document: dict[str, Any], known: set[str]) -> None:
    unknown = sorted(set(document) - known)
    if unknown:
        raise ValueError(f"Expected {where} to have {sorted(known)} alone. Received: {unknown}")


def _check_one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"Expected {name} to be one of {known}. Received: {name}={value!r}")


def _numbers(name: str, value: Any) -> tuple[float, ...]:
    values = value if isinstance(value, list | tuple) else [value]
    fine = values and all(
        isinstance(entry, int | float) and not isinstance(entry, bool) and abs(entry) <= _LARGEST
        for entry in values
    )
    if not fine:
        raise ValueError(
            f"Expected {name} to be a finite number of float32 or a list of them. "
            f"Received: {name}={value!r}"
        )
    return tuple(float(entry) for entry in values)
