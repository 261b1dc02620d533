"""Benches: which networks are trained, on which data, with how many seeds, and compared with what.

Each `.toml` file here is a bench, and each of its arms a training that is repeated with several
seeds. The tables `data`, `network`, `fit` and `techniques` hold settings of `kbnn.runs.RunConfig`,
by the names that `kbnn settings` lists; an arm's tables add to the bench's or change them.
"""

import dataclasses
import json
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

from kbnn.runs import RunConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = pathlib.Path(__file__).parent
_PARTS = ("data", "network", "fit", "techniques")


@dataclasses.dataclass(frozen=True)
class Arm:
    """A training that is repeated with several seeds.

    Attributes:
        name: its name in the bench.
        label: what it is, for tables.
        settings: settings of the run, by the parts of `RunConfig`.
        seeds: number of seeds, counted from 0.
        begins_with: the arm whose network of the same seed the run goes on with ("from").
        teacher: the arm whose network of the same seed teaches the run.
        against: the arm that it is compared with, instead of the bench's baseline.
        is_tuning: whether it only helps to choose settings, on the validation images; the test
            images are then left alone.
    """

    name: str
    label: str
    settings: dict[str, Any]
    seeds: int
    begins_with: str | None = None
    teacher: str | None = None
    against: str | None = None
    is_tuning: bool = False

    @property
    def needs(self) -> tuple[str, ...]:
        """The arms whose networks it takes."""
        return tuple(arm for arm in (self.begins_with, self.teacher) if arm is not None)


@dataclasses.dataclass(frozen=True)
class Bench:
    """Arms that are compared with each other.

    Attributes:
        name: the name of its file.
        title: network, data and number of epochs.
        baseline: the arm that others are compared with.
        time_curve: arms that are the baseline with other numbers of epochs.
        arms: the arms, by name.
    """

    name: str
    title: str
    baseline: str
    time_curve: tuple[str, ...]
    arms: dict[str, Arm]

    def config(
        self, arm: str, seed: int, runs: pathlib.Path, data_dir: pathlib.Path | None = None
    ) -> RunConfig:
        """The settings of a run.

        Args:
            arm: the name of the arm.
            seed: the seed of the run, and of the images that it holds out.
            runs: the folder of all runs, where networks are that the run needs.
            data_dir: the data, unless they are found by name.

        Raises:
            ValueError: a setting is not valid, or a network that the run needs is not trained.
        """
        chosen = self.arms[arm]
        content = json.loads(json.dumps(chosen.settings))
        content["data"] |= {"split_seed": seed}
        content["fit"] |= {"seed": seed}
        if data_dir is not None:
            content["data"]["directory"] = str(data_dir)
        if chosen.begins_with is not None:
            folder = run_folder(runs, self.name, chosen.begins_with, seed)
            content["network"]["pretrained"] = {"directory": str(folder)}
        if chosen.teacher is not None:
            folder = run_folder(runs, self.name, chosen.teacher, seed)
            teaching = content["techniques"].setdefault("distillation", {})
            teaching["teacher"] = {"directory": str(folder)}
        return RunConfig.from_dict(content)


def run_folder(runs: pathlib.Path, bench: str, arm: str, seed: int) -> pathlib.Path:
    """Return the folder of a run."""
    return runs / bench / arm / f"seed_{seed}"


def names() -> list[str]:
    """Return the names of all benches."""
    return sorted(file.stem for file in FOLDER.glob("*.toml"))


def load(name: str) -> Bench:
    """Read a bench.

    Raises:
        ValueError: there is no such bench, or its file has a table or a key that is unknown, or an
            arm that names one that is missing.
    """
    if name not in names():
        raise ValueError(f"Expected a bench of {', '.join(names())}. Received: {name}")
    with (FOLDER / f"{name}.toml").open("rb") as file:
        return parse(name, tomllib.load(file))


def parse(name: str, content: Mapping[str, Any]) -> Bench:
    """Return the bench that the content of a file describes; raises ValueError as `load` does."""
    known = {"title", "seeds", "baseline", "time_curve", "arms", *_PARTS}
    _check_keys(name, content, known)
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
    return Bench(name, content["title"], content["baseline"], curve, arms)


def _arm(where: str, name: str, bench: Mapping[str, Any], own: Mapping[str, Any]) -> Arm:
    known = {"label", "seeds", "from", "teacher", "against", "tuning", *_PARTS}
    _check_keys(where, own, known)
    return Arm(
        name,
        own["label"],
        {part: {**bench.get(part, {}), **own.get(part, {})} for part in _PARTS},
        own.get("seeds", bench["seeds"]),
        own.get("from"),
        own.get("teacher"),
        own.get("against"),
        own.get("tuning", False),
    )


def _check_keys(where: str, content: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(set(content) - known)
    if unknown:
        raise ValueError(
            f"Expected the keys {', '.join(sorted(known))} in {where}. "
            f"Received: {', '.join(unknown)}"
        )
