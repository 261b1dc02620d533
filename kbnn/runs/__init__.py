"""Training runs: settings, a folder for each run, resumption."""

from kbnn.runs.errors import InputError, RunFailed
from kbnn.runs.run import train_run
from kbnn.runs.run_config import RunConfig

__all__ = ["InputError", "RunConfig", "RunFailed", "train_run"]
