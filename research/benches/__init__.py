"""Benches: comparisons of networks that are trained on the same data with several seeds.

Each `.toml` file in this folder is a bench. Each of its arms is a training that is repeated with
several seeds. The tables `data`, `network`, `fit` and `techniques` contain settings of
`kbnn.runs.RunConfig`, by the names that `kbnn settings` lists. An arm's tables add to the bench's
tables or change them.
"""

import pathlib
import sys

from research.benches.bench import Arm, Bench, run_folder
from research.benches.parse import parse

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["FOLDER", "Arm", "Bench", "load", "names", "parse", "run_folder"]

FOLDER = pathlib.Path(__file__).parent


def names() -> list[str]:
    """Return the names of all benches."""
    return sorted(file.stem for file in FOLDER.glob("*.toml"))


def load(name: str) -> Bench:
    """Read a bench.

    Args:
        name: the name of a bench in this folder, or the path of a `.toml` file elsewhere.

    Raises:
        ValueError: there is no such bench, or `parse` refuses its file.
    """
    path = pathlib.Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        raise ValueError(
            f"Expected a .toml file, or a bench of {', '.join(names())}. Received: {name}"
        )
    with path.open("rb") as file:
        return parse(path.stem, tomllib.load(file))
