"""The settings of a training run: everything that its weights depend on."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from kbnn._settings import Settings
from kbnn._settings.values import text_of
from kbnn.runs.datasets import Data
from kbnn.runs.fit import Fit
from kbnn.runs.network import Network
from kbnn.techniques import TECHNIQUES, Technique
from kbnn.techniques.trained_run import TrainedRun

_PARTS: dict[str, type[Settings]] = {"data": Data, "network": Network, "fit": Fit}


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """The settings of a training run.

    Settings that depend on others, such as the learning rate, are filled in.

    Args:
        data: The images.
        network: The network.
        fit: How it is trained.
        techniques: Techniques of `kbnn.techniques`, each at most once.

    Raises:
        ValueError: Parts that do not fit together.

    Example:
        >>> from kbnn.runs import Data, Fit, RunConfig
        >>> from kbnn.techniques import LatentWeights
        >>> data = Data("fashion_mnist_sample")
        >>> config = RunConfig(data, fit=Fit(epochs=3), techniques=(LatentWeights(),))
        >>> config.network.width, config.fit.learning_rate
        (32, 0.005)
    """

    data: Data
    network: Network = Network()
    fit: Fit = Fit()
    techniques: tuple[Technique, ...] = ()

    def __post_init__(self) -> None:
        for name, part in _PARTS.items():
            value = getattr(self, name)
            if not isinstance(value, part):
                raise ValueError(f"Expected `{name}` to be {part.__name__}. Received: {value!r}")
        object.__setattr__(self, "techniques", _in_order(self.techniques))
        network = self.network.complete(self.builder_arguments())
        object.__setattr__(self, "network", network)
        fit = self.fit.complete(is_pretrained=network.pretrained is not None)
        object.__setattr__(self, "fit", fit)

    def builder_arguments(self) -> dict[str, Any]:
        """The builder arguments of all techniques.

        Raises:
            ValueError: Two techniques give the same one.
        """
        found: dict[str, Any] = {}
        givers: dict[str, Technique] = {}
        for technique in self.techniques:
            own = technique.builder_arguments()
            for name in own.keys() & found.keys():
                raise _clash(name, givers[name], technique)
            found |= own
            givers |= dict.fromkeys(own, technique)
        return found

    @property
    def split_seed(self) -> int:
        """The seed of the images that are held out."""
        return self.fit.seed if self.data.split_seed is None else self.data.split_seed

    @property
    def teachers(self) -> list[TrainedRun]:
        """The runs whose networks techniques use."""
        return [
            value
            for technique in self.techniques
            for value in vars(technique).values()
            if isinstance(value, TrainedRun)
        ]

    def to_dict(self, *, places: bool = True, defaults: bool = True) -> dict[str, Any]:
        """The settings, ready for JSON.

        Args:
            places: Whether to include settings that say where something is.
            defaults: Whether to include settings that have their defaults.
        """
        options = {"places": places, "defaults": defaults}
        return {
            **{name: getattr(self, name).to_dict(**options) for name in _PARTS},
            "techniques": {each.kind(): each.to_dict(**options) for each in self.techniques},
        }

    def differences(self, other: "RunConfig") -> dict[str, tuple[Any, Any]]:
        """The settings that differ, by their paths, with the values in both."""
        documents = [self.to_dict(), other.to_dict()]
        techniques = [document.pop("techniques") for document in documents]
        both = techniques[0].keys() & techniques[1].keys()
        ours, theirs = (
            flatten_settings(document)
            | flatten_settings({name: own[name] if name in both else "given" for name in own})
            for document, own in zip(documents, techniques, strict=True)
        )
        absent = "none"
        pairs = {
            name: (ours.get(name, absent), theirs.get(name, absent)) for name in {**ours, **theirs}
        }
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def digest(self) -> str:
        """A checksum of what the weights depend on.

        Settings that have their defaults are left out: a new setting leaves checksums as they are.
        """
        content = json.dumps(self.to_dict(places=False, defaults=False), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    @classmethod
    def from_dict(cls, content: Any) -> "RunConfig":
        """The inverse of `to_dict`. Settings that are left out have their defaults.

        Raises:
            ValueError: A name that is not a setting, or a value that is not valid.
        """
        return cls(**cls.parts_from_dict(content))

    @classmethod
    def parts_from_dict(cls, content: Any) -> dict[str, Any]:
        """The arguments that `from_dict` gives to the class."""
        names = {*_PARTS, "techniques"}
        if not isinstance(content, Mapping) or not set(content) <= names:
            received = ", ".join(content) if isinstance(content, Mapping) else content
            raise ValueError(
                f"Expected the settings data, network, fit and techniques. Received: {received}. "
                "Settings of a run that an earlier version of kbnn began cannot be read: train it "
                "again, or convert its model.keras."
            )
        parts: dict[str, Any] = {
            name: part.from_dict(content.get(name, {})) for name, part in _PARTS.items()
        }
        techniques = content.get("techniques", {})
        if not isinstance(techniques, Mapping):
            raise ValueError(
                "Expected the settings of techniques, by their names. "
                f"Received: techniques={techniques!r}"
            )
        unknown = [name for name in techniques if name not in TECHNIQUES]
        if unknown:
            raise ValueError(
                f"Expected techniques of {', '.join(TECHNIQUES)}. Received: {', '.join(unknown)}"
            )
        found = [TECHNIQUES[name].from_dict(own) for name, own in techniques.items()]
        return {**parts, "techniques": tuple(found)}


def _in_order(techniques: Any) -> tuple[Technique, ...]:
    """Techniques in the order of their names, so that equal configurations are the same run."""
    if not isinstance(techniques, tuple | list) or not all(
        isinstance(each, Technique) for each in techniques
    ):
        raise ValueError(
            "Expected `techniques` to be a tuple of techniques, as (SelfBinarizing(),). "
            f"Received: techniques={techniques!r}"
        )
    names = [f"`{each.kind()}`" for each in techniques]
    if len(set(names)) < len(names):
        raise ValueError(f"Expected each technique at most once. Received: {', '.join(names)}")
    two_paths = [f"`{each.kind()}`" for each in techniques if each.has_two_paths]
    if len(two_paths) > 1:
        raise ValueError(
            "Expected at most one technique that trains with a second network. "
            f"Received: {' and '.join(two_paths)}"
        )
    return tuple(sorted(techniques, key=lambda each: each.kind()))


def _clash(argument: str, *techniques: Technique) -> ValueError:
    """The error for techniques that give the same builder argument, with the settings to change."""
    ways = ["Leave one of them out"]
    for technique in techniques:
        left = technique.without(argument)
        if left is not None:
            ways += [
                f"give `{name}`={text_of(value)}"
                for name, value in vars(left).items()
                if value != getattr(technique, name)
            ]
    received = " and ".join(f"`{each.kind()}`" for each in techniques)
    return ValueError(
        f"Expected one technique with `{argument}`. Received: {received}. {', or '.join(ways)}."
    )


def flatten_settings(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings in JSON, by their paths."""
    found: dict[str, Any] = {}
    for name, value in content.items():
        is_nested = isinstance(value, Mapping)
        found |= (
            flatten_settings(value, f"{prefix}{name}.") if is_nested else {f"{prefix}{name}": value}
        )
    return found
