"""The folder of a training run: which file is what, and how each is written."""

import contextlib
import csv
import importlib.metadata
import json
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

from kbnn._files import UNFINISHED, replace_file
from kbnn._version import __version__
from kbnn.runs.errors import InputError, input_errors
from kbnn.runs.run_config import RunConfig

# Bytes that the paths of a run's files may be longer than its folder's, those of TensorFlow's
# temporary files included.
_LONGEST_INSIDE = 128
_PACKAGES = ("tensorflow", "tf-keras", "larq", "numpy")


class RunFolder:
    """The paths of a run folder, and its small files.

    Every file is written under a temporary name and renamed, so a process that dies at any moment
    leaves whole files behind.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = pathlib.Path(path)
        self.config_file = self.path / "config.json"
        self.log_file = self.path / "log.csv"
        self.curves_file = self.path / "curves.png"
        self.weights_file = self.path / "weights.npz"
        self.weights_picture = self.path / "weights.png"
        self.model_file = self.path / "model.keras"
        self.result_file = self.path / "result.json"
        self.latest = self.path / "checkpoints" / "latest"
        self.best_file = self.path / "checkpoints" / "best.keras"
        self.recipe_file = self.path / "recipe.json"
        self.stages = self.path / "stages"

    def stage(self, name: str) -> "RunFolder":
        """The folder of a training that comes before the run's own in a recipe."""
        return RunFolder(self.stages / name)

    def check_new(self) -> None:
        """Raise InputError unless a new run may be written here."""
        self._check_length()
        if not self.path.exists():
            return
        # A process killed before it wrote config.json leaves no run behind. A recipe writes its
        # first trainings before its last one begins.
        beside = (self.recipe_file.name, self.stages.name)
        if self.path.is_dir() and all(
            entry.name.startswith(UNFINISHED) or entry.name in beside
            for entry in self.path.iterdir()
        ):
            return
        if self.config_file.exists():
            way_out = "Continue it with --resume, or choose another folder."
        else:
            way_out = "Choose another folder."
        raise InputError(
            f"Expected a folder that does not exist yet, or is empty. Received: --run {self.path}"
            f"{', which holds a run' if self.config_file.exists() else ''}. {way_out}"
        )

    def create(self, config: RunConfig) -> None:
        """Begin a new run: make the folder and write `config.json`."""
        self.check_new()
        self.path.mkdir(parents=True, exist_ok=True)
        content = {
            "settings": config.to_dict(),
            "digest": config.digest(),
            "versions": versions(),
        }
        write_json(self.config_file, content)

    def check_no_recipe(self) -> None:
        """Raise InputError if a recipe has begun here, whose last training the run would be."""
        if self.recipe_file.exists():
            raise InputError(
                f"Expected a folder that does not exist yet, or is empty. Received: --run "
                f"{self.path}, which holds a run. Continue it with --resume, or choose another "
                "folder."
            )

    def create_recipe(self, content: dict[str, Any]) -> None:
        """Begin a run by a recipe: make the folder and write `recipe.json`.

        Raises:
            InputError: as `check_new` does; or a recipe has begun here.
        """
        self.check_new()
        self.check_no_recipe()
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.recipe_file, {**content, "versions": versions()})

    def recipe(self) -> dict[str, Any] | None:
        """The content of `recipe.json`; None for a run without a recipe."""
        return _read_json(self.recipe_file) if os.path.exists(self.recipe_file) else None

    def config(self) -> RunConfig:
        """The run's settings.

        Raises:
            InputError: there is no run here, or its `config.json` is broken.
        """
        content = self._config_file().get("settings")
        try:
            with input_errors():
                return RunConfig.from_dict(content)
        except InputError as error:
            # Without backticks, the names are not taken for options that the user gave.
            message = str(error).replace("`", "").rstrip(".")
            raise InputError(f"{message} (in {self.config_file})") from error

    def config_to_resume(self) -> RunConfig:
        """The run's settings, which must be those that it began with.

        Raises:
            InputError: as `config` does; or the settings were edited.
        """
        config = self.config()
        if self._config_file().get("digest") != config.digest():
            raise InputError(
                f"Expected {self.config_file} to have the settings that the run began with (only "
                "folders may change). Received: edited settings, or another digest. Undo the edit, "
                "or start another run for other settings."
            )
        return config

    def versions(self) -> dict[str, str]:
        """The versions that the run was started with."""
        found = self._config_file().get("versions")
        return found if isinstance(found, dict) else {}

    def result(self) -> dict[str, Any] | None:
        """The content of `result.json`; None before the run is finished."""
        return _read_json(self.result_file) if self.result_file.exists() else None

    def log(self) -> list[dict[str, float]]:
        """The rows of `log.csv`, one per epoch.

        Raises:
            InputError: the file was changed by another hand.
        """
        if not self.log_file.exists():
            return []
        with open(self.log_file, newline="") as file:
            rows = list(csv.DictReader(file))
        try:
            return [{key: _number(value) for key, value in row.items()} for row in rows]
        except (AttributeError, ValueError) as error:
            raise InputError(
                f"Expected only numbers in {self.log_file}. Received: {error}"
            ) from error

    def write_log(self, rows: list[dict[str, float]]) -> None:
        """Write `log.csv`; numbers are written so that they read back as they were."""
        with (
            replace_file(self.log_file) as temporary,
            open(temporary, "w", newline="") as file,
        ):
            writer = csv.DictWriter(file, list(rows[0]) if rows else ["epoch"])
            writer.writeheader()
            writer.writerows({key: repr(value) for key, value in row.items()} for row in rows)

    def remove_unfinished(self) -> None:
        """Remove what a killed process left half-written."""
        of_tensorflow = self.latest.rglob("ckpt-*_temp")
        for folder in [*self.path.rglob(f"{UNFINISHED}*"), *of_tensorflow]:
            shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from training in this folder; a dead process holds no lock.

        Raises:
            InputError: another process trains here.
        """
        try:
            import fcntl
        except ImportError:  # Windows
            yield
            return
        with open(self.path / ".lock", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InputError(
                    "Expected a run that no other process is training. "
                    f"Received: --run {self.path}, where one is at work."
                ) from error
            yield

    def _check_length(self) -> None:
        """Raise InputError if the file system does not take paths as long as those of the run."""
        if not hasattr(os, "pathconf"):  # Windows
            return
        path = pathlib.Path(os.path.abspath(self.path))
        existing = next(each for each in path.parents if os.path.exists(each))
        longest = os.pathconf(existing, "PC_PATH_MAX") - _LONGEST_INSIDE
        longest_name = os.pathconf(existing, "PC_NAME_MAX")
        if len(os.fsencode(path)) > longest:
            expected = f"a run folder whose path has at most {longest} bytes"
        elif any(len(os.fsencode(name)) > longest_name for name in path.parts):
            expected = f"a run folder whose name has at most {longest_name} bytes"
        else:
            return
        raise InputError(f"Expected {expected}. Received: --run {self.path}, which is longer.")

    def _config_file(self) -> dict[str, Any]:
        # For a path that is too long, os.path says that it does not exist; pathlib raises an error.
        if not os.path.isfile(self.config_file):
            raise InputError(
                "Expected the folder of a run, with a config.json. Received: "
                f"{self.path}{'' if os.path.exists(self.path) else ', which does not exist'}"
            )
        content = _read_json(self.config_file)
        if not isinstance(content, dict):
            raise InputError(f"Expected a JSON object in {self.config_file}. Received: {content!r}")
        return content


def versions() -> dict[str, str]:
    """The versions that a run's numbers depend on."""
    return {"kbnn": __version__} | {name: importlib.metadata.version(name) for name in _PACKAGES}


def write_json(path: pathlib.Path, content: Any) -> None:
    """Write a JSON file, whole or not at all."""
    with replace_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def _number(text: str) -> float:
    return int(text) if text.isdecimal() else float(text)


def _read_json(path: pathlib.Path) -> Any:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"Expected JSON in {path}. Received: {error}") from error
