"""Settings of a run from texts, as the command line gives them."""

import copy
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kbnn._settings import Field, Settings
from kbnn._settings.values import NONE
from kbnn.runs.datasets import Data
from kbnn.runs.errors import InputError
from kbnn.runs.fit import Fit
from kbnn.runs.network import Network
from kbnn.techniques import TECHNIQUES

PARTS: dict[str, type[Settings]] = {"data": Data, "network": Network, "fit": Fit}


class Setting(NamedTuple):
    """A setting and its place.

    Attributes:
        path: As `contrastive.negatives.count`.
        field: What it takes.
        condition: The choice that it belongs to, as `negatives=memory_bank`; "" for none.
    """

    path: str
    field: Field
    condition: str = ""


def settings_of(name: str) -> list[Setting]:
    """The settings of a part of a run or of a technique, including the settings of its choices."""
    return list(_walk(name, {**PARTS, **TECHNIQUES}[name].fields()))


def every_setting() -> list[Setting]:
    """The settings of all parts of a run and of all techniques."""
    return [setting for name in (*PARTS, *TECHNIQUES) for setting in settings_of(name)]


def flags() -> dict[str, Setting]:
    """The settings that have an option besides `--set`, by the option."""
    found = ((setting.field.flag, setting) for setting in every_setting())
    return {flag: setting for flag, setting in found if flag is not None}


def method_name(technique: str) -> str:
    """The name of a technique on the command line, as "self-binarizing"."""
    return technique.replace("_", "-")


def assign(
    document: dict[str, Any], techniques: Sequence[str], texts: Mapping[str, str]
) -> dict[str, Any]:
    """Change settings in JSON, as `RunConfig.to_dict` returns them.

    Args:
        document: The settings. It is left as it is. Those that are left out have their defaults.
        techniques: Names of techniques to add, as "self_binarizing".
        texts: Values, by names: the path of a setting, or its end, if no other setting of the run
            has it.

    Raises:
        ValueError: A name that no setting or several settings have, a value that is not valid, or a
            setting or a technique that is given twice.
    """
    document = {"techniques": {}, **copy.deepcopy(document)}
    for name in techniques:
        if name not in TECHNIQUES:
            raise InputError(
                f"Expected `method` to be one of {', '.join(map(method_name, TECHNIQUES))}. "
                f"Received: {method_name(name)}"
            )
        document["techniques"].setdefault(name, {})
    if len(set(techniques)) < len(techniques):
        raise InputError(
            f"Expected each `method` once. Received: {', '.join(map(method_name, techniques))}"
        )
    pending = dict(texts)
    assigned: dict[str, str] = {}
    while pending:
        found = {name: find_setting(name, document) for name in pending}
        # A choice is made before the settings that belong to it are looked for.
        choices = [name for name, setting in found.items() if setting and setting.field.kinds]
        name = (choices or list(pending))[0]
        setting = found[name]
        if setting is None:
            raise InputError(_not_found(name, document))
        text = pending.pop(name)
        if setting.path in assigned:
            raise InputError(
                f"Expected one value for `{setting.path}`. "
                f"Received: {assigned[setting.path]} and {text}"
            )
        assigned[setting.path] = text
        _assign(document, setting, text)
    return document


def _walk(path: str, fields: Mapping[str, Field], condition: str = "") -> Iterator[Setting]:
    for name, field in fields.items():
        yield Setting(f"{path}.{name}", field, condition)
        for choice, kind in field.kinds.items():
            if not kind.is_given_as_text:
                is_choice = len(field.kinds) > 1 or NONE in field.types
                own = f"{name}={choice}" if is_choice else condition
                yield from _walk(f"{path}.{name}", _defaults_in(field, kind), own)


def _defaults_in(field: Field, kind: type[Settings]) -> dict[str, Field]:
    """The settings of a choice, with the defaults that they have in the setting itself."""
    if not isinstance(field.default, kind):
        return kind.fields()
    return {
        name: dataclasses.replace(each, default=getattr(field.default, name))
        for name, each in kind.fields().items()
    }


def find_setting(name: str, document: dict[str, Any]) -> Setting | None:
    """The setting of a name among those that the run has; None if there is none.

    Raises:
        InputError: Several settings have the name.
    """
    known = [
        *(each for part in PARTS for each in _present(part, PARTS[part], document.get(part, {}))),
        *(
            each
            for technique, content in document["techniques"].items()
            for each in _present(technique, TECHNIQUES[technique], content)
        ),
    ]
    found = [each for each in known if f".{each.path}".endswith(f".{name}")]
    exact = [each for each in found if each.path == name]
    if len(exact or found) > 1:
        paths = " or ".join(each.path for each in found)
        raise InputError(f"Expected the path of one setting: {paths}. Received: {name}")
    return next(iter(exact or found), None)


def _present(path: str, kind: type[Settings], content: dict[str, Any]) -> Iterator[Setting]:
    """The settings that a run has with the choices that it has made."""
    for name, field in kind.fields().items():
        yield Setting(f"{path}.{name}", field)
        chosen = _choice_of(field, content.get(name, field.default))
        if chosen is not None and not chosen.is_given_as_text:
            own = content.get(name)
            yield from _present(f"{path}.{name}", chosen, own if isinstance(own, dict) else {})


def _choice_of(field: Field, value: Any) -> type[Settings] | None:
    if isinstance(value, dict):
        return field.kinds[value["kind"]] if "kind" in value else next(iter(field.kinds.values()))
    return type(value) if isinstance(value, Settings) else None


def _assign(document: dict[str, Any], setting: Setting, text: str) -> None:
    part, *names, last = setting.path.split(".")
    place = (document if part in PARTS else document["techniques"]).setdefault(part, {})
    kind = {**PARTS, **TECHNIQUES}[part]
    for name in names:
        field = kind.fields()[name]
        place = place.setdefault(name, _in_json(field, field.default))
        kind = _choice_of(field, place) or kind
    value = setting.field.parse(text)
    if isinstance(value, type):
        default = setting.field.default
        value = default if isinstance(default, value) else value()
    place[last] = _in_json(setting.field, value)


def _in_json(field: Field, value: Any) -> Any:
    if not isinstance(value, Settings):
        return value
    return {**({"kind": value.kind()} if len(field.kinds) > 1 else {}), **value.to_dict()}


def _not_found(name: str, document: dict[str, Any]) -> str:
    """The error for a name that no setting of the run has, with the way to have it."""
    others = [each for each in every_setting() if f".{each.path}".endswith(f".{name}")]
    if not others:
        return f"Expected the name of a setting. Received: {name}. `kbnn settings` lists them all."
    ways = [
        " with ".join(filter(None, (each.path, _options_for(each, document)))) for each in others
    ]
    return (
        f"Expected a setting of this run. Received: {name}. It exists as {', or as '.join(ways)}."
    )


def _options_for(setting: Setting, document: dict[str, Any]) -> str:
    part = setting.path.split(".")[0]
    is_there = part in PARTS or part in document["techniques"]
    method = "" if is_there else f"--method {method_name(part)}"
    choice = f"--set {setting.condition}" if setting.condition else ""
    return " ".join(filter(None, (method, choice)))
