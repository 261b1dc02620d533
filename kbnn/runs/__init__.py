"""Training runs: settings, a folder for each run, resumption."""

from kbnn.runs.datasets import Data
from kbnn.runs.errors import InputError, RunFailed
from kbnn.runs.fit import Fit
from kbnn.runs.network import Network
from kbnn.runs.resume import continue_from
from kbnn.runs.run import train_run
from kbnn.runs.run_config import RunConfig

__all__ = [
    "Data",
    "Fit",
    "InputError",
    "Network",
    "RunConfig",
    "RunFailed",
    "continue_from",
    "train_run",
]
