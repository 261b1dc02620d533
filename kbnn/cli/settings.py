"""`kbnn settings`: lists the settings of training runs and their values."""

from typing import Annotated, Any

import typer
from rich.table import Table

from kbnn.cli import options
from kbnn.cli.output import exit_codes, show
from kbnn.runs.assignments import PARTS, Setting, method_name, settings_of
from kbnn.runs.errors import InputError
from kbnn.techniques import TECHNIQUES

_GROUPS = {**PARTS, **TECHNIQUES}


@exit_codes
def settings(
    name: Annotated[
        str | None,
        typer.Argument(
            help=f"{', '.join(PARTS)}, or a method. (default: list them all)",
            show_default=False,
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """List the settings of `kbnn train`: an overview, or the settings of one method or part.

    Example: kbnn settings contrastive
    """
    if name is None:
        show(_overview(), [_summary(group) for group in _GROUPS], as_json=as_json)
        return
    group = name.replace("-", "_")
    if group not in _GROUPS:
        raise InputError(
            f"Expected one of {', '.join(map(method_name, _GROUPS))}. Received: {name}"
        )
    found = settings_of(group)
    document = {**_summary(group), "settings": [_document(setting) for setting in found]}
    show(_table(group, found), document, as_json=as_json)


def _overview() -> Table:
    table = Table(
        title="Settings of kbnn train", caption="kbnn settings NAME lists the settings of a name."
    )
    for heading in ("name", "given by", "what it is"):
        table.add_column(heading)
    for group in _GROUPS:
        given_by = "options and --set" if group in PARTS else f"--method {method_name(group)}"
        table.add_row(method_name(group), given_by, _summary(group)["description"])
    return table


def _table(group: str, found: list[Setting]) -> Table:
    table = Table(title=_summary(group)["description"], caption=_caption(group, found))
    for heading in ("setting", "values", "default", "meaning"):
        table.add_column(heading, overflow="fold")
    for setting in found:
        each = _document(setting)
        meaning = f"{each['help']} (with {each['with']})" if each["with"] else each["help"]
        # A line may end between two values.
        values = each["values"].replace("|", " | ")
        table.add_row(each["option"] or each["name"], values, _default(setting), meaning)
    return table


def _caption(group: str, found: list[Setting]) -> str:
    method = "" if group in PARTS else f"--method {method_name(group)} "
    others = [each for each in found if options.option_of(each) is None]
    # A default that says more than "none", if there is one.
    example = min(
        (each for each in others if not each.field.is_required),
        key=lambda each: each.field.default is None,
    )
    value = example.field.text_of(example.field.default)
    return f"For example: kbnn train {method}--set {_name(example)}={value} ..."


def _default(setting: Setting) -> str:
    """The default as users write it, and what it means."""
    field = setting.field
    # For quantizers "none" is a choice, and not the default.
    is_none = field.default is None and field.unset is not None and "none" not in field.choices
    return f"none: {field.default_text}" if is_none else field.default_text


def _summary(group: str) -> dict[str, Any]:
    description = (_GROUPS[group].__doc__ or "").strip().splitlines()[0]
    return {"name": method_name(group), "description": description}


def _document(setting: Setting) -> dict[str, Any]:
    field = setting.field
    return {
        "name": _name(setting),
        "option": options.option_of(setting),
        "values": field.placeholder,
        "default": field.default_text,
        "help": field.help,
        "with": setting.condition or None,
    }


def _name(setting: Setting) -> str:
    return setting.path.split(".", 1)[1]
