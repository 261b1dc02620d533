"""`kbnn-run classify`: classify images."""

import argparse
import dataclasses
import json
import math
from typing import Any

import numpy as np

from kbnn_runtime.cli.errors import InputError
from kbnn_runtime.cli.options import (
    add_interpreter_options,
    file_name,
    integer_from,
    open_model,
    read_arrays,
)
from kbnn_runtime.images import read_image
from kbnn_runtime.sidecar import Prediction
from kbnn_runtime.tensor import Tensor

HELP = "Classify images and print their best classes."
# The names of images and labels in the archives of kbnn and Keras.
_IMAGES, _LABELS = ("images", "x_test", "x"), ("labels", "y_test", "y")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", help="image files, or one .npz file of uint8 images")
    parser.add_argument("--top", type=integer_from(1), default=1, help="classes to show (1)")
    parser.add_argument(
        "--sidecar",
        type=file_name,
        default="auto",
        help="the sidecar file (the model's name with the suffix .json)",
    )
    parser.add_argument(
        "--array", help=f"name of the images in the .npz file (one of {', '.join(_IMAGES)})"
    )
    parser.add_argument(
        "--labels", help=f"name of the labels in the .npz file (one of {', '.join(_LABELS)})"
    )
    add_interpreter_options(parser)


def run(given: argparse.Namespace) -> None:
    interpreter = open_model(given, sidecar=given.sidecar)
    names, images, labels = _read_images(given)
    if labels is not None:
        _check_range(labels, interpreter.outputs)
    try:
        found = interpreter.classify(images, top=given.top)
    except (ImportError, TypeError, ValueError) as error:
        raise InputError(error) from error
    accuracy = None
    if labels is not None:
        accuracy = float(np.mean([best[0].index for best in found] == labels))
    if given.json:
        print(json.dumps(_document(names, found, labels, accuracy), indent=2))
        return
    for name, predictions in zip(names, found, strict=True):
        scores = "  ".join(f"{entry.label} {entry.score:.4f}" for entry in predictions)
        print(f"{name}: {scores}")
    if accuracy is not None:
        print(f"accuracy: {accuracy:.4f} of {len(names)} images")


def _document(
    names: list[str],
    found: list[list[Prediction]],
    labels: np.ndarray | None,
    accuracy: float | None,
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "images": [
            {"image": name, "predictions": [_to_dict(entry) for entry in predictions]}
            for name, predictions in zip(names, found, strict=True)
        ]
    }
    if labels is not None:
        document["accuracy"] = accuracy
    return document


def _to_dict(entry: Prediction) -> dict[str, Any]:
    # JSON has no NaN and no infinity.
    score = entry.score if math.isfinite(entry.score) else None
    return {**dataclasses.asdict(entry), "score": score}


def _read_images(
    given: argparse.Namespace,
) -> tuple[list[str], Any, np.ndarray | None]:
    """Return names, images and, if the archive has them, labels."""
    archives = [path for path in given.images if path.endswith(".npz")]
    if not archives:
        return given.images, _read_image_files(given), None
    if len(given.images) > 1:
        raise InputError(f"Expected image files, or a single .npz file. Received: {given.images}")
    arrays = read_arrays(archives[0])
    name = _find_name(arrays, given.array, _IMAGES, "--array")
    if name is None:
        raise InputError(
            f"Expected images under one of the names {_IMAGES}, or --array NAME. "
            f"Received: an archive with {sorted(arrays)}"
        )
    images = arrays[name]
    if images.ndim == 0:
        raise InputError(
            f"Expected images along the first axis of {name!r}. Received: a single value"
        )
    label_name = _find_name(arrays, given.labels, _LABELS, "--labels")
    labels = None if label_name is None else _check_labels(arrays[label_name], len(images))
    return [f"{name}[{i}]" for i in range(len(images))], images, labels


def _read_image_files(given: argparse.Namespace) -> list[np.ndarray]:
    for option, name in (("--array", given.array), ("--labels", given.labels)):
        if name is not None:
            raise InputError(
                f"Expected {option} only for an .npz file. Received: {option} {name!r}, image files"
            )
    try:
        return [read_image(path) for path in given.images]
    except (ImportError, ValueError) as error:
        raise InputError(error) from error


def _check_labels(labels: np.ndarray, count: int) -> np.ndarray:
    if labels.dtype.kind not in "iu":
        raise InputError(
            "Expected labels to be integers, the numbers of the classes. "
            f"Received: labels of {labels.dtype}"
        )
    # Keras's datasets store labels as a column.
    if labels.ndim == 0 or labels.size != count or len(labels) != count:
        raise InputError(
            f"Expected one label for each of {count} images. "
            f"Received: labels of shape {labels.shape}"
        )
    return labels.reshape(-1)


def _check_range(labels: np.ndarray, outputs: tuple[Tensor, ...]) -> None:
    classes = [size for tensor in outputs for size in tensor.shape[1:]]
    if None in classes or not len(labels):
        return  # not a classifier, which `classify` reports
    count = math.prod(size for size in classes if size is not None)
    if labels.min() < 0 or labels.max() >= count:
        raise InputError(
            f"Expected labels from 0 to {count - 1}, the model's classes. "
            f"Received: {labels.min()} to {labels.max()}"
        )


def _find_name(
    arrays: dict[str, np.ndarray], wanted: str | None, usual: tuple[str, ...], option: str
) -> str | None:
    if wanted is not None and wanted not in arrays:
        raise InputError(f"Expected {option} to be one of {sorted(arrays)}. Received: {wanted}")
    return wanted or next((name for name in usual if name in arrays), None)
