"""Frozen dataclasses whose fields are settings."""

import dataclasses
import functools
import inspect
import re
import textwrap
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from kbnn._settings import values
from kbnn._settings.field import REQUIRED, Field

S = TypeVar("S", bound="Settings")
_INDENT, _MORE = " " * 4, " " * 8


@dataclasses.dataclass(frozen=True)
class Settings:
    """Base of settings. A subclass is a frozen dataclass whose fields are made by `setting`.

    Attributes:
        is_given_as_text: Whether a string, the first field, is enough to make an instance.

    Raises:
        ValueError: A value that its field does not take.
    """

    is_given_as_text: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name, field in self.fields().items():
            self._keep(name, field.check(getattr(self, name)))

    def replace(self: S, **changes: Any) -> S:
        """A copy with other values."""
        return dataclasses.replace(self, **changes)

    def _keep(self, name: str, value: Any) -> None:
        """Set a field, in `__post_init__`."""
        object.__setattr__(self, name, value)

    @classmethod
    def fields(cls) -> dict[str, Field]:
        """The settings, by name."""
        return _fields(cls)  # type: ignore[arg-type]

    @classmethod
    def kind(cls) -> str:
        """The name of the class in JSON and on the command line, as `memory_bank`."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower()

    def to_dict(self, *, places: bool = True, defaults: bool = True) -> dict[str, Any]:
        """The settings, ready for JSON.

        Args:
            places: Whether to include settings that say where something is.
            defaults: Whether to include settings that have their defaults.
        """
        found: dict[str, Any] = {}
        for name, field in self.fields().items():
            value = getattr(self, name)
            if (field.is_place and not places) or (not defaults and value == field.default):
                continue
            if isinstance(value, Settings):
                content = value.to_dict(places=places, defaults=defaults)
                value = {"kind": value.kind(), **content} if len(field.kinds) > 1 else content
            found[name] = list(value) if isinstance(value, tuple) else value
        return found

    @classmethod
    def from_dict(cls: type[S], content: Any) -> S:
        """The inverse of `to_dict`. Settings that are left out have their defaults.

        Raises:
            ValueError: A name that is not a setting, or a value that is not valid.
        """
        fields = cls.fields()
        if not isinstance(content, Mapping) or not set(content) <= set(fields):
            received = ", ".join(content) if isinstance(content, Mapping) else content
            raise ValueError(
                f"Expected the settings of {cls.__name__}: {', '.join(fields)}. "
                f"Received: {received}"
            )
        for name, field in fields.items():
            if field.is_required and name not in content:
                raise ValueError(f"Expected `{name}` ({field.help}). Received: none")
        return cls(**{name: _read(fields[name], value) for name, value in content.items()})


def document_settings(cls: type[S]) -> type[S]:
    """Write the settings into a class's docstring, in place of the line `{settings}`."""
    lines = []
    for name, field in cls.fields().items():
        default = "" if field.is_required else f" Default: {field.default_text}."
        text = f"{name}: {field.help[0].upper()}{field.help[1:]}.{default}"
        lines.append(textwrap.fill(text, 100, initial_indent=_INDENT, subsequent_indent=_MORE))
    # Python 3.13 removes the indentation of docstrings, earlier versions keep it.
    docstring = inspect.cleandoc(cls.__doc__ or "")
    cls.__doc__ = docstring.replace(f"{_INDENT}{{settings}}", "\n".join(lines))
    return cls


@functools.cache
def _fields(cls: type[Settings]) -> dict[str, Field]:
    hints = typing.get_type_hints(cls)
    found = {}
    for each in sorted(dataclasses.fields(cls), key=lambda each: each.default is not REQUIRED):
        types = values.alternatives(hints[each.name])
        kinds = [kind for kind in types if isinstance(kind, type) and issubclass(kind, Settings)]
        plain = [kind for kind in types if kind not in kinds]
        by_name = {kind.kind(): kind for kind in kinds}
        found[each.name] = Field(each.name, plain, by_name, each.default, **each.metadata)
    return found


def _read(field: Field, value: Any) -> Any:
    """A value in JSON as the setting takes it."""
    if not isinstance(value, Mapping) or not field.kinds:
        return value
    content = dict(value)
    kinds = list(field.kinds)
    kind = content.pop("kind", None) if len(kinds) > 1 else kinds[0]
    if kind not in kinds:
        raise ValueError(
            f"Expected the kind of `{field.name}` to be one of {', '.join(kinds)}. "
            f"Received: {kind!r}"
        )
    return field.kinds[kind].from_dict(content)
