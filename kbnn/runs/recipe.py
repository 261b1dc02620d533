"""Recipes: named settings for one training or several, with their measured results."""

import copy
import dataclasses
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kbnn.runs.assignments import assign, find_setting
from kbnn.runs.errors import InputError
from kbnn.runs.folder import RunFolder
from kbnn.runs.run import train_run
from kbnn.runs.run_config import RunConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = pathlib.Path(__file__).parent / "recipes"

# Settings that all trainings of a recipe share; the others change its last training.
_SHARED = ("data.", "fit.seed", "fit.precision")


@dataclasses.dataclass(frozen=True)
class Stage:
    """One training of a recipe.

    Attributes:
        name: Its name in the recipe.
        settings: Settings by the parts of `kbnn.runs.RunConfig`, without the data.
        begins_with: The stage whose network it starts from.
        teacher: The stage whose network teaches it.
    """

    name: str
    settings: dict[str, Any]
    begins_with: str | None = None
    teacher: str | None = None


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Named settings for one training or several, with their measured results.

    Attributes:
        name: Its name, which is also the name of its file.
        version: A number that grows when its settings change.
        summary: What it is for, in one sentence.
        stages: Its trainings. The last one gives the result.
        measured: For each data set "data", "bench" and "arm" (the rows in results/bench.csv),
            "runs", "accuracy" (of the device file on the test images, in percent) and "file_bytes".
    """

    name: str
    version: int
    summary: str
    stages: tuple[Stage, ...]
    measured: tuple[dict[str, Any], ...] = ()

    @property
    def measured_text(self) -> str:
        """The measured results, for tables."""
        if not self.measured:
            return "not yet"
        return "\n".join(
            f"{each['data']}: {each['accuracy']:.2f} %, {each['file_bytes'] / 1000:.1f} KB "
            f"({each['runs']} runs)"
            for each in self.measured
        )

    def config(
        self,
        stage: Stage,
        folder: RunFolder,
        techniques: Sequence[str] = (),
        texts: Mapping[str, str] | None = None,
        *,
        is_check: bool = False,
    ) -> RunConfig:
        """The settings of one training.

        Args:
            stage: The training.
            folder: The folder of the whole run.
            techniques: Names of further techniques for the last training.
            texts: Settings as `kbnn.runs.assignments.assign` takes them. The data, the seed and
                the precision are for all trainings, the others for the last one.
            is_check: Whether networks of earlier trainings may be missing.

        Raises:
            ValueError: A setting is not valid.
        """
        content = copy.deepcopy(stage.settings)
        is_last = stage is self.stages[-1]
        given = {
            name: text
            for name, text in (texts or {}).items()
            if is_last or _is_shared(name, content)
        }
        content = assign(content, techniques if is_last else (), given)
        seed = content["fit"].get("seed", 0)
        content["data"].setdefault("split_seed", seed)
        checksum = {"sha256": "unknown"} if is_check else {}
        if stage.begins_with is not None:
            place = str(folder.stage(stage.begins_with).path)
            content["network"]["pretrained"] = {"directory": place, **checksum}
        if stage.teacher is not None:
            place = str(folder.stage(stage.teacher).path)
            content["techniques"]["distillation"]["teacher"] = {"directory": place, **checksum}
        return RunConfig.from_dict(content)


def recipe_names() -> list[str]:
    """The names of all recipes."""
    return sorted(file.stem for file in FOLDER.glob("*.toml"))


def load_recipe(name: str) -> Recipe:
    """Read a recipe.

    Raises:
        InputError: There is no recipe of this name.
    """
    if name not in recipe_names():
        raise InputError(
            f"Expected `recipe` to be one of {', '.join(recipe_names())}. Received: {name}"
        )
    with (FOLDER / f"{name}.toml").open("rb") as file:
        content = tomllib.load(file)
    stages = [
        Stage(
            stage,
            {part: own.get(part, {}) for part in ("data", "network", "fit", "techniques")},
            own.get("from"),
            own.get("teacher"),
        )
        for stage, own in content["stages"].items()
    ]
    measured = tuple(content.get("measured", ()))
    return Recipe(name, content["version"], content["summary"], tuple(stages), measured)


def begin_recipe(
    folder: RunFolder, recipe: str, techniques: Sequence[str], texts: Mapping[str, str]
) -> None:
    """Begin a run with a recipe: check all its settings and write `recipe.json`.

    Raises:
        InputError: A setting is not valid, or the folder is not new.
    """
    found = load_recipe(recipe)
    folder.check_new()
    for stage in found.stages:
        found.config(stage, folder, techniques, texts, is_check=True)
    folder.create_recipe(
        {
            "recipe": recipe,
            "version": found.version,
            "techniques": list(techniques),
            "settings": dict(texts),
        }
    )


def train_recipe(
    folder: RunFolder,
    train: Callable[..., dict[str, Any]] = train_run,
    note: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """Train all stages of the recipe that a folder was begun with, or continue an interrupted one.

    The trainings before the last one are runs in `stages/`, inside the folder of the last one.

    Args:
        folder: The folder of the run.
        train: Called for each training as `train(config, folder, resume=..., test=...)`.
        note: Called with messages for the user.

    Returns:
        The content of the last training's `result.json`.

    Raises:
        InputError: The recipe has changed since the run began, or the run cannot continue.
    """
    begun = folder.recipe()
    if begun is None:
        raise InputError(f"Expected a run that a recipe began. Received: none in {folder.path}")
    recipe = load_recipe(begun["recipe"])
    if recipe.version != begun["version"]:
        raise InputError(
            f"Expected version {begun['version']} of the recipe {recipe.name}, with which the run "
            f"in {folder.path} began. Received: version {recipe.version}. Start a new run."
        )
    result: dict[str, Any] = {}
    for i, stage in enumerate(recipe.stages, start=1):
        is_last = stage is recipe.stages[-1]
        run = folder if is_last else folder.stage(stage.name)
        config = recipe.config(stage, folder, begun["techniques"], begun["settings"])
        if len(recipe.stages) > 1:
            note(f"Training {i} of {len(recipe.stages)}: {stage.name}")
        result = train(config, run.path, resume=run.config_file.exists(), test=is_last)
    return result


def _is_shared(name: str, content: dict[str, Any]) -> bool:
    setting = find_setting(name, content)
    return setting is not None and setting.path.startswith(_SHARED)
