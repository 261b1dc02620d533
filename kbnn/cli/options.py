"""Options that several commands share, and options for the settings of a run."""

import contextlib
import inspect
import os
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from kbnn.converters.interpreters import INTERPRETERS
from kbnn.runs.assignments import Setting, every_setting, flags, method_name
from kbnn.runs.errors import InputError, input_errors
from kbnn.techniques import TECHNIQUES


def _option(setting: Setting) -> Any:
    """The option of a setting. Its value is None unless the user gives it, as --resume expects."""
    field = setting.field
    default = "" if field.is_required else f" (default: {field.default_text})"
    return typer.Option(
        field.flag,
        help=f"{field.help[0].upper()}{field.help[1:]}.{default}",
        metavar=field.placeholder,
        show_default=False,
    )


FLAGS = flags()
Data = Annotated[str | None, _option(FLAGS["--data"])]
DataDir = Annotated[pathlib.Path | None, _option(FLAGS["--data-dir"])]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
RunOrModel = Annotated[
    pathlib.Path,
    typer.Argument(
        help="Folder of a finished run, or a model (.keras, .h5 or SavedModel).",
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
        help="Share of images that must get the same class from a file with int8 layers and from "
        "the model. (default: 0.95)",
        min=0,
        max=1,
        show_default=False,
    ),
]
Interpreter = Annotated[
    str | None,
    typer.Option(
        help=f"{' or '.join(INTERPRETERS)}. (default: {INTERPRETERS[0]} if it is installed)",
        show_default=False,
    ),
]
Best = Annotated[
    bool,
    typer.Option(
        "--best",
        help="Use the run's epoch with the highest validation accuracy, not the last epoch.",
    ),
]
# The names in errors that are options under another name. Some are arguments of `kbnn.data.load`,
# `kbnn.models` or `kbnn.converters`.
_OTHER_OPTIONS = {
    "method": "--method",
    "pretrained": "--from",
    "recipe": "--recipe",
    "resume": "--resume",
    "name": "--data",
    "input_shape": "--image-size",
    "int8_agreement": "--int8-agreement",
    "input_type": "--input-type",
    "output_type": "--output-type",
    "allow_float": "--allow-float",
    "interpreter": "--interpreter",
    "converter": "--converter",
}


def check_exists(file: pathlib.Path) -> None:
    """Raise InputError unless a device file exists."""
    if not os.path.isfile(file):
        raise InputError(f"Expected a .tflite file. Received: {file}, not found")


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each setting that has one, after its first parameter.

    The command receives the given values as `**texts`, keyed by the paths of the settings.
    """

    def run(**arguments: Any) -> None:
        texts = {path: arguments.pop(name) for name, path in paths.items()}
        command(**arguments, **{path: text for path, text in texts.items() if text is not None})

    # Typer reads the parameters of a command from its signature.
    first, *others = inspect.signature(command).parameters.values()
    options = {flag.strip("-").replace("-", "_"): setting for flag, setting in FLAGS.items()}
    paths = {name: setting.path for name, setting in options.items()}
    parameters = [
        first,
        *(
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=None,
                annotation=Annotated[str | None, _option(setting)],
            )
            for name, setting in options.items()
        ),
        *(each for each in others if each.kind is not inspect.Parameter.VAR_KEYWORD),
    ]
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def assignments(texts: list[str], options: dict[str, str]) -> dict[str, str]:
    """Read the values of `--set NAME=VALUE`, and add them to the values of options."""
    found = dict(options)
    for text in texts:
        given, equals, value = map(str.strip, text.partition("="))
        if not (given and equals):
            raise InputError(
                f"Expected --set NAME=VALUE, such as weight=0.1. Received: --set {text}"
            )
        name = given.replace("-", "_")
        if name == "pretrained" or name.endswith(".pretrained"):
            raise InputError(
                f"Expected --from RUN for the network of a finished run. Received: --set {text}"
            )
        if name in found:
            raise InputError(
                f"Expected one value for `{name}`. Received: {found[name]} and {value}"
            )
        found[name] = value
    return found


def option_of(setting: Setting) -> str | None:
    """The option for a setting; None if only `--set` can give it."""
    return setting.field.flag or _OTHER_OPTIONS.get(setting.field.name)


@contextlib.contextmanager
def named_errors() -> Iterator[None]:
    """Turn errors about arguments into InputErrors that name them as the command line does."""
    try:
        with input_errors():
            yield
    except InputError as error:
        raise InputError(with_options(str(error))) from error


def with_options(message: str) -> str:
    """Replace the names of settings and arguments in backticks by their options."""
    settings = every_setting()
    known = {each.path.split(".")[-1]: each for each in settings}
    known |= {each.path: each for each in settings}
    known |= {each.field.name: each for each in FLAGS.values()}

    def option(match: re.Match[str]) -> str:
        name = match[1]
        if name in _OTHER_OPTIONS:
            return _OTHER_OPTIONS[name]
        if name in TECHNIQUES:
            return f"--method {method_name(name)}"
        if name not in known:
            return match[0]
        return known[name].field.flag or f"--set {name}"

    return re.sub(r"`([\w.]+)`", option, message)
