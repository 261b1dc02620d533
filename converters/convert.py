"""One call from a trained model to a file that can be trusted."""

import dataclasses
import os
import pathlib
from collections.abc import Collection
from typing import Any, NamedTuple

import tf_keras as keras

from kbnn import _checks
from kbnn._files import replace_file
from kbnn.converters import lce, samples
from kbnn.converters.device_graph import device_graph
from kbnn.converters.int8 import first_calibration_images, quantize_real_layers
from kbnn.converters.layer_report import build_report
from kbnn.converters.lint import kernel_layers, lint_layer
from kbnn.converters.parity import Parity
from kbnn.converters.report import Report
from kbnn.converters.verify import (
    INT8_AGREEMENT,
    Progress,
    check_agreement,
    check_sizes,
    verify,
)
from kbnn.graph.freeze import freeze


class Conversion(NamedTuple):
    """What `convert` gives: the file's path, the report, and the frozen model."""

    path: pathlib.Path
    report: Report
    frozen: keras.Model


class VerificationError(lce.ConversionError):
    """The device file does not do what the model does; `parity` says by how much."""

    def __init__(self, parity: Parity) -> None:
        super().__init__("The device file does not agree with Keras: " + "; ".join(parity.failures))
        self.parity = parity


def convert(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    calibration_data: Any = None,
    verify_data: Any = None,
    int8_agreement: float | None = None,
    allow_float: Collection[str] = (),
    progress: Progress | None = None,
) -> Conversion:
    """Freeze a model, convert it to an LCE `.tflite` file, and check the file.

    A layer with binary weights and binary inputs must become a binary operator, and with
    `verify_data` the file must agree with Keras (see `verify`); otherwise no file is written, and
    one that was there before stays as it was.

    Args:
        model: a built functional or Sequential model.
        path: the file to write, `*.tflite` in a folder that exists.
        calibration_data: images, as `verify_data`, on which to measure the ranges of all real
            values, so that the layers that stay real compute in int8 and take a quarter of the
            bytes. Training images; the first 1,024 are used. None keeps those layers in float32.
        verify_data: batches, or arrays `(images, labels)`, to compare Keras and the file on, as
            `verify` takes them; the test set, or a part of it. None leaves the file unverified.
        int8_agreement: with `calibration_data`, the share of equal classes that the file must
            reach on `verify_data` (see `verify`); None is `kbnn.converters.INT8_AGREEMENT`, 0.95.
        allow_float: names of binary layers that may run in floats on the device.
        progress: called as `progress(done, total)` while the data are compared.

    Raises:
        TypeError: the model is subclassed or belongs to Keras 3.
        ValueError: the model is not built or has weights that are not finite; `path` is no
            `.tflite` file; `allow_float` names no layer; data that do not fit the model;
            `int8_agreement` without `calibration_data`.
        FileNotFoundError: the folder of `path` does not exist.
        ConversionError: a binary layer would run in floats, with its name and the reason; LCE's
            converter failed, with its own first message.
        VerificationError: the file does not agree with Keras.
    """
    _checks.keras2_model("model", model)
    path = _checked(path)
    if isinstance(allow_float, str):
        raise TypeError(
            f"Expected `allow_float` to be a list of names. Received: allow_float={allow_float!r}"
        )
    int8_agreement = _checked_agreement(int8_agreement, calibration_data)
    frozen = freeze(model)
    _check_binary(frozen, allow_float)
    if verify_data is not None:
        check_sizes(model)
    _check_data(
        model, verify_data=verify_data, calibration_data=first_calibration_images(calibration_data)
    )
    on_device = device_graph(frozen)
    int8 = calibration_data is not None
    content = lce.to_flatbuffer(
        quantize_real_layers(on_device, calibration_data) if int8 else on_device
    )
    report = build_report(on_device, content, int8=int8)
    left = [
        layer.layer
        for layer, verdict in zip(
            report.layers, map(lint_layer, kernel_layers(on_device)), strict=True
        )
        if verdict.binary and not layer.binary and layer.layer not in allow_float
    ]
    if left:
        raise lce.ConversionError(
            "Expected each binary layer to become an LCE binary operator. "
            f"Received: LCE's converter left {', '.join(map(repr, left))} real-valued."
        )
    with replace_file(path) as temporary:
        temporary.write_bytes(content)
        if verify_data is not None:
            parity = verify(
                model, temporary, verify_data, int8_agreement=int8_agreement, progress=progress
            )
            if not parity.passed:
                raise VerificationError(parity)
            report = dataclasses.replace(report, parity=parity)
    return Conversion(path, report, frozen)


def _checked(path: str | os.PathLike) -> pathlib.Path:
    path = pathlib.Path(path)
    if path.suffix != ".tflite" or (path.exists() and not path.is_file()):
        raise ValueError(
            "Expected `path` to be a file that ends in .tflite, new or to be replaced. "
            f"Received: path={str(path)!r}"
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"Expected `path` to lie in an existing folder. Received: path={str(path)!r}"
        )
    return path


def _checked_agreement(int8_agreement: float | None, calibration_data: Any) -> float:
    if int8_agreement is None:
        return INT8_AGREEMENT
    check_agreement(int8_agreement)
    if calibration_data is None:
        raise ValueError(
            "Expected `int8_agreement` with `calibration_data` alone, which makes the file int8. "
            f"Received: int8_agreement={int8_agreement}, calibration_data=None"
        )
    return int8_agreement


def _check_data(model: keras.Model, **given: Any) -> None:
    for argument, data in given.items():
        if data is None:
            continue
        try:
            samples.check(model, data)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{argument}: {error}") from error


def _check_binary(frozen: keras.Model, allow_float: Collection[str]) -> None:
    verdicts = [lint_layer(layer) for layer in kernel_layers(frozen)]
    unknown = set(allow_float) - {verdict.layer for verdict in verdicts}
    if unknown:
        raise ValueError(
            "Expected `allow_float` to name layers with a kernel: "
            f"{', '.join(verdict.layer for verdict in verdicts)}. Received: {sorted(unknown)}"
        )
    problems = [
        f"{verdict.layer!r} ({verdict.kind}): {verdict.problem}"
        for verdict in verdicts
        if verdict.problem and verdict.layer not in allow_float
    ]
    if problems:
        raise lce.ConversionError(
            "Expected each layer with binary weights and inputs to run binary on the device. "
            f"Received: {'; '.join(problems)}. Change the layer, or name it in `allow_float`."
        )
