"""The entry point of the command `kbnn-run`."""

import argparse
import sys

from kbnn_runtime._version import __version__
from kbnn_runtime.cli import benchmark, classify, info
from kbnn_runtime.cli.errors import BAD_INPUT, FAILED, INTERRUPTED, InputError

_EXIT_CODES = "Exit codes: 0 success; 1 failure; 2 wrong usage or input; 130 interrupted."


def main(arguments: list[str] | None = None) -> int:
    """Run the command in `arguments`, by default `sys.argv`, and return the exit code.

    Results go to standard output, everything else to standard error.
    """
    given = _make_parser().parse_args(arguments)
    if sys.stdout is None:
        return _report_error("Expected standard output to be open. Received: closed", FAILED)
    try:
        given.run(given)
    except InputError as error:
        return _report_error(error, BAD_INPUT)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        return _report_error(error, FAILED)
    except KeyboardInterrupt:
        return _report_error("Interrupted.", INTERRUPTED)
    return 0


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kbnn-run",
        description="Run binary neural networks, files of Larq Compute Engine, in LiteRT.",
        epilog=_EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"kbnn-runtime {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in (("classify", classify), ("benchmark", benchmark), ("info", info)):
        sub = commands.add_parser(
            name, help=command.HELP, description=command.HELP, epilog=_EXIT_CODES
        )
        sub.add_argument("model", help="the .tflite file")
        sub.add_argument("--json", action="store_true", help="print one JSON document")
        command.add_options(sub)
        sub.set_defaults(run=command.run)
    return parser


def _report_error(error: object, code: int) -> int:
    line = " ".join(str(error).split()) or type(error).__name__
    # stderr is None if the shell closed it; `print` would then use standard output.
    if sys.stderr is not None:
        print(f"kbnn-run: {line}", file=sys.stderr)
    return code
