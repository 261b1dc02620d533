"""The kbnn command, and the training run behind it as a function."""

from kbnn.cli.errors import InputError, RunFailed
from kbnn.cli.run import train_run
from kbnn.cli.run_config import RunConfig

__all__ = ["InputError", "RunConfig", "RunFailed", "train_run"]
