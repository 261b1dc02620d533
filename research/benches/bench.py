"""A bench and its arms."""

import dataclasses
import json
import pathlib
from collections.abc import Callable
from typing import Any

from kbnn.runs import RunConfig
from kbnn.runs.folder import RunFolder
from kbnn.runs.run_config import flatten_settings

# In place of a network whose folder and checksum do not matter.
_ANY_NETWORK = {"directory": "", "sha256": ""}


@dataclasses.dataclass(frozen=True)
class Arm:
    """A training that is repeated with several seeds.

    Attributes:
        name: its name in the bench.
        label: what it is, for tables.
        settings: settings of the run, grouped by the parts of `RunConfig`.
        seeds: number of seeds, counted from 0.
        begins_with: the arm whose network of the same seed the run starts from ("from").
        teacher: the arm whose network of the same seed teaches the run.
        against: the arm that it is compared with, instead of the bench's baseline.
        is_tuning: whether it only helps to choose settings, on the validation images. It then
            never reads the test images.
        is_int8: whether the real-valued layers of its device file run in int8.
        recipe: the recipe whose settings it has, as NAME, or NAME/TRAINING for a training before
            the last one.
    """

    name: str
    label: str
    settings: dict[str, Any]
    seeds: int
    begins_with: str | None = None
    teacher: str | None = None
    against: str | None = None
    is_tuning: bool = False
    is_int8: bool = False
    recipe: str | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """The arms whose networks it needs."""
        return tuple(arm for arm in (self.begins_with, self.teacher) if arm is not None)

    @property
    def is_real(self) -> bool:
        """Whether its networks are real-valued: without quantizers and without techniques."""
        network = self.settings["network"]
        names = ("input_quantizer", "kernel_quantizer")
        return not self.settings["techniques"] and all(network.get(n) == "none" for n in names)


@dataclasses.dataclass(frozen=True)
class Bench:
    """Arms that are compared with each other.

    Attributes:
        name: the name of its file.
        title: the network, the data and the number of epochs.
        baseline: the arm that others are compared with.
        time_curve: arms that repeat the baseline with other numbers of epochs.
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
            seed: the seed of the run, which also chooses the images that it holds out.
            runs: the folder of all runs, which contains the networks that the run needs.
            data_dir: the folder or file of the data; None to find the data by name.

        Raises:
            ValueError: a setting is not valid, or a network that the run needs is not trained.
        """

        def find(other: str) -> dict[str, Any]:
            folder = run_folder(runs, self.name, other, seed)
            if not RunFolder(folder).model_file.is_file():
                raise ValueError(
                    f"Expected the network of {other} with seed {seed}, which {arm} needs, in "
                    f"{folder}. Received: none. Train it first: python -m research.bench run "
                    f"{self.name} {other} --seeds {seed}"
                )
            return {"directory": str(folder)}

        return self._config(arm, seed, find, data_dir)

    def check(self, arm: str) -> None:
        """Raise ValueError if a setting of an arm is not valid. Needed networks may be missing."""
        self._config(arm, 0, lambda other: dict(_ANY_NETWORK), None)

    def needed(self, arm: str) -> set[str]:
        """Return the arms whose networks an arm needs, directly or through other arms."""
        direct = self.arms[arm].needs
        return set(direct).union(*map(self.needed, direct))

    def changes_since(self, arm: str, seed: int, settings: str) -> dict[str, tuple[Any, Any]]:
        """Return the settings of an arm that have changed since a run.

        Args:
            arm: the name of the arm.
            seed: the seed of the run.
            settings: the settings of the run, from its row. Settings that the row lacks had their
                defaults.

        Returns:
            For each path of a changed setting, its value in the run and its value now. The networks
            that the run started from or learned from do not count.
        """
        content = json.loads(settings)
        if content["network"].get("pretrained"):
            content["network"]["pretrained"] = dict(_ANY_NETWORK)
        if "distillation" in content["techniques"]:
            content["techniques"]["distillation"]["teacher"] = dict(_ANY_NETWORK)
        before = RunConfig.from_dict(content)
        now = self._config(arm, seed, lambda other: dict(_ANY_NETWORK), None)
        ours, theirs = (flatten_settings(each.to_dict(places=False)) for each in (before, now))
        pairs = {name: (ours.get(name), theirs.get(name)) for name in {**ours, **theirs}}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def _config(
        self,
        arm: str,
        seed: int,
        find: Callable[[str], dict[str, Any]],
        data_dir: pathlib.Path | None,
    ) -> RunConfig:
        chosen = self.arms[arm]
        content = json.loads(json.dumps(chosen.settings))
        content["data"] |= {"split_seed": seed}
        content["fit"] |= {"seed": seed}
        if data_dir is not None:
            content["data"]["directory"] = str(data_dir)
        if chosen.begins_with is not None:
            content["network"]["pretrained"] = find(chosen.begins_with)
        if chosen.teacher is not None:
            teaching = content["techniques"].setdefault("distillation", {})
            teaching["teacher"] = find(chosen.teacher)
        try:
            return RunConfig.from_dict(content)
        except ValueError as error:
            raise ValueError(f"{error} (in {self.name}.{arm})") from error


def run_folder(runs: pathlib.Path, bench: str, arm: str, seed: int) -> pathlib.Path:
    """Return the folder of a run."""
    return runs / bench / arm / f"seed_{seed}"
