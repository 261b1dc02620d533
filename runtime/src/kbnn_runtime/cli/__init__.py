"""The command `kbnn-run`."""

from kbnn_runtime.cli.main import main

__all__ = ["main"]
