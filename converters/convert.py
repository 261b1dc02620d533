"""Converts a trained model to a verified device file."""

import dataclasses
import os
import pathlib
from collections.abc import Collection
from typing import Any, NamedTuple

import tf_keras as keras

from kbnn import _checks
from kbnn._files import replace_file
from kbnn.converters import interpreters, lce
from kbnn.converters.device_file import parse_device_file
from kbnn.converters.device_model import DeviceModel
from kbnn.converters.errors import ConversionError, VerificationError
from kbnn.converters.flatbuffer import check_operators
from kbnn.converters.int8 import LAYERS, first_calibration_images, quantize_real_layers
from kbnn.converters.int8_options import Int8Options
from kbnn.converters.layer_report import build_report
from kbnn.converters.linted_model import LintedModel
from kbnn.converters.ports import match_ports
from kbnn.converters.report import Report
from kbnn.converters.samples import Samples
from kbnn.converters.verify import Progress, check_agreement, check_fixed_sizes, compare
from kbnn.converters.writer import write

KBNN = "kbnn"
LCE = "lce"
CONVERTERS = (KBNN, LCE)
"""kbnn's own writer, and Larq Compute Engine's converter."""


class Conversion(NamedTuple):
    """The result of `convert`.

    Attributes:
        path: the file.
        report: what became of each layer.
        frozen: the frozen model.
    """

    path: pathlib.Path
    report: Report
    frozen: keras.Model


def convert(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    calibration_data: Any = None,
    int8: str = LAYERS,
    input_type: str | None = None,
    output_type: str | None = None,
    verify_data: Any = None,
    int8_agreement: float | None = None,
    allow_float: Collection[str] = (),
    converter: str = KBNN,
    progress: Progress | None = None,
) -> Conversion:
    """Freeze a model, convert it to an LCE `.tflite` file, and check the file.

    Every layer with binary weights and binary inputs must become a binary operator, and with
    `verify_data` the file must agree with Keras (see `verify`). Otherwise no file is written, and
    an existing file stays as it was.

    Args:
        model: a built functional or Sequential model.
        path: the file to write, `*.tflite` in an existing folder.
        calibration_data: training images, in any form that `verify_data` may have. kbnn measures
            the range of real values on the first 1,024 of them, so that convolutional and dense
            layers that are not binary compute in int8 and need a quarter of the bytes. None keeps
            these layers in float32.
        int8: what computes in int8 with `calibration_data`. "layers": convolutional and dense
            layers, while sums, pooling and batch normalization between them stay in float32. "all":
            everything between binary layers.
        input_type: "int8" or "uint8" for inputs that the file takes as integers, with a scale and a
            zero point. It needs `calibration_data`. None keeps the model's types.
        output_type: the same for the outputs.
        verify_data: the test set or a part of it, in any form that `verify` takes. The file and
            Keras are compared on it. None leaves the file unverified.
        int8_agreement: with `calibration_data`, the share of equal classes that the file must reach
            on `verify_data` (see `verify`). None means 0.95.
        allow_float: names of binary layers that may run as floats on the device.
        converter: "kbnn", which writes the file itself, or "lce" for Larq Compute Engine's own
            converter.
        progress: called as `progress(done, total)` while the data are compared; `total` may be
            None.

    Returns:
        A named tuple `(path, report, frozen)`: the file's path, the report, and the frozen model.
            The report prints as a table (`rich`) and has these attributes:

            - `layers`: for each layer that multiplies by weights its `layer` (name), `kind`,
              device `operator`, `output` type, whether it is `binary`, its `bytes`, `macs`
              (multiply-accumulates), a `note`, and a `warning` as from `lint`.
            - `operators`: how often each device operator occurs; `binary_ops` and `float_ops` count
              those that multiply by binary and by real-valued weights.
            - `file_bytes`, and `predicted_bytes` from before the conversion.
            - `parity`: what `verify` returns; None without `verify_data`.
            - `to_dict()` gives everything for JSON.

    Raises:
        TypeError: the model is subclassed or belongs to Keras 3.
        ValueError: the model is not built or has weights that are not finite; `path` is not a
            `.tflite` file; `allow_float` names an unknown layer; the data do not fit the model;
            an argument for int8 is given without `calibration_data`, is unknown, or does not fit
            the model or the converter; the converter is unknown; no interpreter can run the file on
            `verify_data`.
        FileNotFoundError: the folder of `path` does not exist.
        ConversionError: a binary layer would run as floats, with its name and the reason; the file
            would need an operator that no runtime has; or the converter failed, with its own first
            message, or is LCE's and not installed.
        VerificationError: the file does not agree with Keras.

    Example:

    >>> import kbnn, tempfile
    >>> model = kbnn.models.vgg_tiny((8, 8, 1), width=32)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = kbnn.converters.convert(model, f"{folder}/model.tflite").report
    >>> [row.operator for row in report.layers]
    ['CONV_2D', 'LceBconv2d', 'LceBconv2d', 'LceBconv2d', 'FULLY_CONNECTED']
    """
    device_model = DeviceModel(model)
    path = _check_path(path)
    _checks.one_of("converter", converter, CONVERTERS)
    _checks.names("allow_float", allow_float)
    least_agreement = check_agreement(int8_agreement)
    options = Int8Options(int8, int8_agreement, input_type, output_type)
    options.check(model, calibration_data, writes_lce=converter == LCE)
    if converter == LCE:
        lce.check_installed()
    interpreter = None if verify_data is None else interpreters.resolve_interpreter(None)
    _check_lint(device_model.frozen, allow_float)
    if verify_data is not None:
        check_fixed_sizes(model)
    verification = _check_samples(model, "verify_data", verify_data)
    calibration = _check_samples(
        model, "calibration_data", first_calibration_images(calibration_data)
    )

    graph = device_model.graph
    is_int8 = calibration is not None
    shipped = graph
    if calibration is not None:
        shipped = LintedModel(
            quantize_real_layers(
                graph,
                calibration,
                form=int8,
                inputs=input_type is not None,
                outputs=output_type is not None,
            )
        )
    content = (
        lce.to_flatbuffer(shipped)
        if converter == LCE
        else write.write_lce(shipped, int8=is_int8, input_type=input_type, output_type=output_type)
    )
    file = parse_device_file(content, path.name)
    check_operators(file.graph)
    report = build_report(graph, file, int8=is_int8)
    _check_report(report, graph, allow_float)
    with replace_file(path) as temporary:
        temporary.write_bytes(file.content)
        if verification is not None and interpreter is not None:
            parity = compare(
                device_model,
                *(temporary, file, match_ports(model, file.graph), verification),
                int8_agreement=least_agreement,
                interpreter=interpreter,
                progress=progress,
            )
            if not parity.passed:
                raise VerificationError(parity)
            report = dataclasses.replace(report, parity=parity)
    return Conversion(path, report, device_model.frozen.model)


def _check_path(path: str | os.PathLike) -> pathlib.Path:
    path = pathlib.Path(path)
    if path.suffix != ".tflite" or (path.exists() and not path.is_file()):
        raise _checks.refuse("path", "a new or existing file that ends in .tflite", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"Expected `path` to be in an existing folder. Received: path={str(path)!r}"
        )
    return path


def _check_samples(model: keras.Model, argument: str, data: Any) -> Samples | None:
    if data is None:
        return None
    try:
        return Samples(model, data)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{argument}: {error}") from error


def _check_lint(frozen: LintedModel, allow_float: Collection[str]) -> None:
    """Raise ConversionError if a layer that should run binary cannot."""
    results = frozen.lint_results
    unknown = set(allow_float) - {result.layer for result in results}
    if unknown:
        raise ValueError(
            "Expected `allow_float` to name layers with a kernel: "
            f"{', '.join(result.layer for result in results)}. Received: {sorted(unknown)}"
        )
    problems = [
        f"{result.layer!r} ({result.kind}): {result.problem}"
        for result in results
        if result.problem and result.layer not in allow_float
    ]
    if problems:
        raise ConversionError(
            "Expected each layer with binary weights and inputs to run binary on the device. "
            f"Received: {'; '.join(problems)}. Change the layer, or name it in `allow_float`."
        )


def _check_report(report: Report, graph: LintedModel, allow_float: Collection[str]) -> None:
    """Raise ConversionError if the converter left a binary layer real-valued."""
    left_real = [
        row.layer
        for row, result in zip(report.layers, graph.lint_results, strict=True)
        if result.binary and not row.binary and row.layer not in allow_float
    ]
    if left_real:
        raise ConversionError(
            "Expected each binary layer to become an LCE binary operator. "
            f"Received: the converter left {', '.join(map(repr, left_real))} real-valued."
        )
