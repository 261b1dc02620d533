"""`kbnn inspect`: shows what a device file contains, or how a model's layers will run."""

import pathlib
from typing import Annotated

import typer
from rich.table import Table

from kbnn import converters
from kbnn.cli import options
from kbnn.cli.output import exit_codes, only_results_on_stdout, show
from kbnn.converters.lint_rules import LintResult
from kbnn.runs import model_source
from kbnn.runs.errors import InputError, input_errors


@exit_codes
def inspect(
    source: Annotated[
        pathlib.Path,
        typer.Argument(
            help="A .tflite file, the folder of a finished run, or a model (.keras, .h5 or "
            "SavedModel).",
            metavar="FILE_OR_RUN_OR_MODEL",
            show_default=False,
        ),
    ],
    best: options.Best = False,
    as_json: options.AsJson = False,
) -> None:
    """Show a device file's operators and bytes, or which layers of a model will run binary.

    Example: kbnn inspect first.tflite
    """
    if source.suffix == ".tflite":
        options.check_exists(source)
        if best:
            raise InputError(f"Expected the folder of a run with --best. Received: {source}")
        with only_results_on_stdout(), input_errors():
            report = converters.inspect(source)
        show(report, report.to_dict(), as_json=as_json)
        return
    with only_results_on_stdout():
        found = model_source.load(source, best=best)
        with input_errors():
            results = converters.lint(found.model)
    document = {
        "path": str(found.path),
        "layers": [result._asdict() for result in results],
    }
    show(_table(found.path, results), document, as_json=as_json)


def _table(path: pathlib.Path, results: list[LintResult]) -> Table:
    table = Table(title=str(path))
    for heading in ("layer", "kind", "binary", "problem, warning or note"):
        table.add_column(heading)
    for result in results:
        remark = "; ".join(filter(None, (result.problem, result.warning, result.note)))
        table.add_row(result.layer, result.kind, "yes" if result.binary else "no", remark)
    return table
