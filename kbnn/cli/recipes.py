"""`kbnn recipes`: lists named settings with their measured results."""

from typing import Annotated, Any

import typer
from rich.table import Table

from kbnn.cli import options
from kbnn.cli.output import exit_codes, show
from kbnn.runs.recipe import Recipe, Stage, load_recipe, recipe_names


@exit_codes
def recipes(
    name: Annotated[
        str | None,
        typer.Argument(help="A recipe. (default: list all recipes)", show_default=False),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """List the recipes of `kbnn train --recipe`, or show the settings of one.

    Example: kbnn recipes accurate
    """
    if name is None:
        found = [load_recipe(each) for each in recipe_names()]
        show(_overview(found), [_document(each) for each in found], as_json=as_json)
        return
    with options.named_errors():
        recipe = load_recipe(name)
    show(_table(recipe), _document(recipe), as_json=as_json)


def _overview(found: list[Recipe]) -> Table:
    table = Table(title="Recipes", caption="kbnn train --recipe NAME --data ... --run FOLDER")
    for heading in ("name", "what it is for", "measured"):
        table.add_column(heading, overflow="fold")
    for recipe in found:
        table.add_row(recipe.name, recipe.summary, recipe.measured_text)
    return table


def _table(recipe: Recipe) -> Table:
    table = Table(title=f"{recipe.name}, version {recipe.version}: {recipe.summary}")
    table.caption = f"Measured: {recipe.measured_text}"
    table.add_column("training")
    table.add_column("settings that differ from the defaults", overflow="fold")
    for stage in recipe.stages:
        table.add_row(stage.name, "\n".join(_settings(stage)))
    return table


def _settings(stage: Stage) -> list[str]:
    lines = [f"starts from the network of {stage.begins_with}"] if stage.begins_with else []
    lines += [f"learns from the network of {stage.teacher}"] if stage.teacher else []
    for part, content in stage.settings.items():
        lines += [f"{part}: {name} = {value}" for name, value in content.items()]
    return lines


def _document(recipe: Recipe) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "version": recipe.version,
        "summary": recipe.summary,
        "measured": recipe.measured,
        "stages": [
            {
                "name": stage.name,
                "from": stage.begins_with,
                "teacher": stage.teacher,
                **stage.settings,
            }
            for stage in recipe.stages
        ],
    }
