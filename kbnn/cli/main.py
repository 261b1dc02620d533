"""The entry point of the `kbnn` command."""

from typing import Annotated

import typer

from kbnn._version import __version__
from kbnn.cli.benchmark import benchmark
from kbnn.cli.convert import convert
from kbnn.cli.inspect import inspect
from kbnn.cli.output import EXIT_CODES
from kbnn.cli.recipes import recipes
from kbnn.cli.settings import settings
from kbnn.cli.train import train
from kbnn.cli.verify import verify

app = typer.Typer(
    help="Train binary neural networks and ship them as Larq Compute Engine files.",
    no_args_is_help=True,
    # Tables of options cut their names at 80 columns.
    rich_markup_mode=None,
    # Python's own traceback is enough; the values of all variables do not help users.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (train, recipes, settings, convert, verify, inspect, benchmark):
    app.command(epilog=EXIT_CODES)(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"kbnn {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command that `sys.argv` names."""
    app()
