"""`kbnn convert`: turns a trained model into a verified Larq Compute Engine file."""

import os
import pathlib
from typing import Annotated, Any

import tensorflow as tf
import tf_keras as keras
import typer

from kbnn import converters
from kbnn.cli import options
from kbnn.cli.output import exit_codes, note, only_results_on_stdout, show
from kbnn.cli.progress import progress_bar
from kbnn.converters import sidecar
from kbnn.converters.convert import LCE
from kbnn.converters.int8 import ALL, LAYERS
from kbnn.converters.report import Report
from kbnn.runs import model_source
from kbnn.runs.errors import InputError, input_errors


@exit_codes
def convert(
    source: options.RunOrModel,
    output: Annotated[
        pathlib.Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The file to write. (default: model.tflite in the run, or next to the model)",
            show_default=False,
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            help="Compare the file with the model on the test images, and fail on a mismatch."
        ),
    ] = True,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="Run convolutions and dense layers that stay real-valued in int8, calibrated on "
            "training images.",
        ),
    ] = False,
    int8_all: Annotated[
        bool,
        typer.Option(
            "--int8-all",
            help="Like --int8, but sums, pooling and normalization run in int8 too.",
        ),
    ] = False,
    input_type: Annotated[
        str | None,
        typer.Option(
            help="int8 or uint8, for an int8 file that takes integers in place of real values.",
            show_default=False,
        ),
    ] = None,
    output_type: Annotated[
        str | None,
        typer.Option(help="The same for what the file gives.", show_default=False),
    ] = None,
    int8_agreement: options.Int8Agreement = None,
    data: options.Data = None,
    data_dir: options.DataDir = None,
    allow_float: Annotated[
        list[str],
        typer.Option(
            help="Name of a binary layer that may run in float. You can give it several times.",
            show_default=False,
        ),
    ] = [],  # noqa: B006
    converter: Annotated[
        str, typer.Option(help="Who writes the file: kbnn, or lce for LCE's own converter.")
    ] = "kbnn",
    best: options.Best = False,
    as_json: options.AsJson = False,
) -> None:
    """Convert a model to a Larq Compute Engine file, and verify it.

    Example: kbnn convert runs/first --output first.tflite

    Verification runs the file on the test images and compares it with the Keras model. The images
    come from the run's data or from --data. If the conversion fails, an old file stays as it was.
    """
    try:
        with only_results_on_stdout():
            int8 = int8 or int8_all
            _check_int8(
                int8,
                {
                    "--int8-agreement": int8_agreement,
                    "--input-type": input_type,
                    "--output-type": output_type,
                },
            )
            if converter == LCE and int8 and not int8_all:
                raise InputError(
                    "Expected --int8-all, because LCE's converter has no other form of int8. "
                    f"Received: --int8 with --converter {converter}"
                )
            found = model_source.load(source, best=best)
            path = _output(source, output)
            with input_errors():
                sidecar.sidecar_path(path)
            facts = _facts(found, data, data_dir)
            splits = model_source.load_data(found, data, data_dir) if verify or int8 else None
            report = _convert(
                found.model,
                path,
                allow_float,
                calibration_data=splits.train if splits and int8 else None,
                int8=ALL if int8_all else LAYERS,
                input_type=input_type,
                output_type=output_type,
                verify_data=splits.test if splits and verify else None,
                int8_agreement=int8_agreement,
                converter=converter,
            )
            beside = None
            if facts is not None:
                beside = converters.write_sidecar(path, found.model, **facts)
    except converters.VerificationError as error:
        parity = error.parity
        show(parity, {"path": None, "verified": False, "parity": parity.to_dict()}, as_json=as_json)
        raise converters.ConversionError(options.with_options(str(error))) from error
    show(
        report,
        {
            "path": str(path),
            "sidecar": None if beside is None else str(beside),
            "verified": verify,
            "report": report.to_dict(),
        },
        as_json=as_json,
    )
    written = str(path) if beside is None else f"{path} and {beside}"
    note(f"Wrote {written}" + ("" if verify else ", not verified"))


def _check_int8(int8: bool, given: dict[str, Any]) -> None:
    """Raise InputError if an option is given that only int8 files have."""
    for flag, value in given.items():
        if value is not None and not int8:
            raise InputError(
                f"Expected {flag} together with --int8. Received: {flag} {value} without --int8"
            )


def _convert(
    model: keras.Model,
    path: pathlib.Path,
    allow_float: list[str],
    **arguments: Any,
) -> Report:
    try:
        if allow_float:
            names = [result.layer for result in converters.lint(model)]
            if not set(allow_float) <= set(names):
                raise InputError(
                    f"Expected --allow-float to be one of {', '.join(names)}. "
                    f"Received: {', '.join(allow_float)}"
                )
        with progress_bar("converting") as progress:
            return converters.convert(
                model, path, allow_float=allow_float, progress=progress, **arguments
            ).report
    except (InputError, converters.VerificationError):
        raise
    except (ValueError, TypeError, converters.ConversionError) as error:
        raise converters.ConversionError(options.with_options(str(error))) from error
    except OSError as error:
        raise InputError(f"Expected --output to be a file that can be written. {error}") from error


def _facts(
    found: model_source.ModelSource, data: str | None, data_dir: pathlib.Path | None
) -> dict[str, Any] | None:
    """What a sidecar adds to the model; None if the model does not classify images."""
    # As in `model_source.load_data`: bytes, or float32 in -1 to 1.
    scale, offset = (1.0, 0.0) if found.model.inputs[0].dtype == tf.uint8 else (1 / 127.5, -1.0)
    try:
        sidecar.sidecar_document(found.model, scale=scale, offset=offset)
    except ValueError:
        return None
    names = model_source.class_names(found, data, data_dir)
    fits = names is not None and len(names) == found.model.output_shape[-1]
    return {"labels": names if fits else None, "scale": scale, "offset": offset}


def _output(source: pathlib.Path, output: pathlib.Path | None) -> pathlib.Path:
    if output is not None:
        path = output
    elif (source / "config.json").is_file():
        path = source / "model.tflite"
    else:
        path = source.with_suffix(".tflite")
    if os.path.isdir(path) or not os.path.isdir(path.parent):
        raise InputError(f"Expected --output to be a file in an existing folder. Received: {path}")
    return path
