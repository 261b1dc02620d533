"""Builds a bench from the content of its file."""

from collections.abc import Mapping
from typing import Any

from kbnn.runs.recipe import load_recipe
from research.benches.bench import Arm, Bench

_PARTS = ("data", "network", "fit", "techniques")
_OF_BENCH = ("title", "seeds", "baseline", "arms")
_OF_ARM = ("label",)


def parse(name: str, content: Mapping[str, Any]) -> Bench:
    """Return the bench that the content of a file describes.

    Raises:
        ValueError: a key is unknown or missing, the file names an arm that does not exist, an arm
            needs its own network, or an arm of the time curve differs from the baseline in more
            than its number of epochs.
    """
    _check_keys(name, content, _OF_BENCH, {"time_curve", *_PARTS})
    arms = {arm: _arm(f"{name}.{arm}", arm, content, own) for arm, own in content["arms"].items()}
    curve = tuple(content.get("time_curve", ()))
    named = {content["baseline"], *curve}
    for arm in arms.values():
        named |= {*arm.needs, *(() if arm.against is None else (arm.against,))}
    if not named <= set(arms):
        raise ValueError(
            f"Expected arms of {name}: {', '.join(arms)}. "
            f"Received: {', '.join(sorted(named - set(arms)))}"
        )
    for arm in arms.values():
        _check_order(name, arms, arm, ())
    for other in curve:
        _check_is_plain(name, arms[other], arms[content["baseline"]])
    return Bench(name, content["title"], content["baseline"], curve, arms)


def _arm(where: str, name: str, bench: Mapping[str, Any], own: Mapping[str, Any]) -> Arm:
    known = {"recipe", "seeds", "from", "teacher", "against", "tuning", "int8", *_PARTS}
    _check_keys(where, own, _OF_ARM, known)
    of_recipe = _recipe_settings(where, own["recipe"]) if "recipe" in own else {}
    layers = (bench, of_recipe, own)
    return Arm(
        name,
        own["label"],
        {part: {k: v for each in layers for k, v in each.get(part, {}).items()} for part in _PARTS},
        own.get("seeds", bench["seeds"]),
        own.get("from"),
        own.get("teacher"),
        own.get("against"),
        own.get("tuning", False),
        own.get("int8", False),
        own.get("recipe"),
    )


def _recipe_settings(where: str, name: str) -> dict[str, Any]:
    """Return the settings of a recipe's last training, or of the training in NAME/TRAINING."""
    recipe, _, stage = name.partition("/")
    try:
        stages = {each.name: each for each in load_recipe(recipe).stages}
    except ValueError as error:
        raise ValueError(f"{error} (in {where})") from error
    chosen = stage or list(stages)[-1]
    if chosen not in stages:
        raise ValueError(
            f"Expected a training of {recipe} in {where}: {', '.join(stages)}. Received: {chosen}"
        )
    return stages[chosen].settings


def _check_keys(
    where: str, content: Mapping[str, Any], required: tuple[str, ...], optional: set[str]
) -> None:
    unknown = sorted(set(content) - {*required, *optional})
    if unknown:
        raise ValueError(
            f"Expected the keys {', '.join(sorted({*required, *optional}))} in {where}. "
            f"Received: {', '.join(unknown)}"
        )
    missing = [key for key in required if key not in content]
    if missing:
        raise ValueError(
            f"Expected the key {' and '.join(missing)} in {where}. "
            f"Received: {', '.join(content) or 'no keys'}"
        )


def _check_order(name: str, arms: Mapping[str, Arm], arm: Arm, waiting: tuple[str, ...]) -> None:
    """Raise ValueError if an arm needs its own network, directly or through other arms."""
    chain = (*waiting, arm.name)
    if arm.name in waiting:
        raise ValueError(
            f"Expected arms of {name} that can be trained one after another. "
            f"Received: {', which needs '.join(chain)}"
        )
    for other in arm.needs:
        _check_order(name, arms, arms[other], chain)


def _check_is_plain(name: str, arm: Arm, baseline: Arm) -> None:
    """Raise ValueError if an arm differs from the baseline in more than the number of epochs."""
    plain, expected = (
        (each.needs, {**each.settings, "fit": {**each.settings["fit"], "epochs": None}})
        for each in (arm, baseline)
    )
    if plain != expected:
        raise ValueError(
            f"Expected time_curve of {name} to have arms that are {baseline.name} with other "
            f"epochs. Received: {arm.name}, whose other settings differ"
        )
