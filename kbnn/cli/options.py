"""Options that several commands have, and how their values are read."""

import pathlib
from typing import Annotated

import typer

from kbnn.converters import INTERPRETERS
from kbnn.runs.errors import InputError

Data = Annotated[
    str | None,
    typer.Option(
        help="Name of the dataset: fashion_mnist, mnist, cifar10, cifar100, "
        'fashion_mnist_sample (bundled), or "folder" for data of your own in --data-dir.',
        show_default=False,
    ),
]
DataDir = Annotated[
    pathlib.Path | None,
    typer.Option(help="Its IDX files, .npz file or image folders.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
RunOrModel = Annotated[
    pathlib.Path,
    typer.Argument(
        help="Folder of a finished run, or a model: .keras, .h5, SavedModel.",
        metavar="RUN_OR_MODEL",
        show_default=False,
    ),
]
TfliteFile = Annotated[
    pathlib.Path, typer.Argument(help="The device file.", metavar="FILE.tflite", show_default=False)
]
Int8Agreement = Annotated[
    float | None,
    typer.Option(
        help="Share of equal classes that a file with int8 layers must reach. (default: 0.95)",
        min=0,
        max=1,
        show_default=False,
    ),
]
Interpreter = Annotated[
    str | None,
    typer.Option(
        help=f"{' or '.join(INTERPRETERS)}. (default: the former, where it is installed)",
        show_default=False,
    ),
]
Best = Annotated[
    bool,
    typer.Option(
        "--best", help="Of a run, take the epoch of the highest validation accuracy, not the last."
    ),
]


def check_exists(file: pathlib.Path) -> None:
    """Raise InputError unless a device file is there."""
    if not file.is_file():
        raise InputError(f"Expected a .tflite file. Received: {file}, not found")


def image_size(text: str | None) -> tuple[int, int] | None:
    """Read "HEIGHTxWIDTH" or one number for both."""
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise InputError(
            f"Expected --image-size to be HEIGHTxWIDTH in pixels, as 32x32. Received: {text!r}"
        )
    return int(sides[0]), int(sides[-1])


def validation(value: float | None) -> float | int | None:
    """A fraction stays a float; whole numbers are counts."""
    return value if value is None or value % 1 else int(value)


def ends(name: str, text: str | None) -> tuple[float, float] | None:
    """Read "FIRST:LAST"."""
    if text is None:
        return None
    try:
        first, last = map(float, text.split(":"))
    except ValueError as error:
        raise InputError(
            f"Expected {name} to be FIRST:LAST, two numbers, as 1:100. Received: {text!r}"
        ) from error
    return first, last


def rates(name: str, text: str | None) -> tuple[float, float] | None:
    """Read "RATE", or "A:B" for two."""
    if text is None:
        return None
    first, colon, second = text.partition(":")
    try:
        return float(first), float(second if colon else first)
    except ValueError:
        raise InputError(
            f"Expected {name} to be RATE or RATE:RATE, as 0.1. Received: {text!r}"
        ) from None
