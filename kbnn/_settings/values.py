"""Values of settings: their types, how they are kept, and how they read as text."""

import os
import re
import types
import typing
from collections.abc import Iterator
from typing import Any

from kbnn import _checks

NONE: Any = types.NoneType
_WORDS = {
    bool: ("true|false", "True or False"),
    int: ("INTEGER", "an integer"),
    float: ("NUMBER", "a number"),
    str: ("TEXT", "a string"),
    NONE: ("none", "None"),
}
# A value is kept as the first type that it fits: a whole number as an integer, where both are
# valid, and a text as a string, if it is nothing else.
_ORDER = (NONE, bool, int, float)


def alternatives(hint: Any) -> list[Any]:
    """The types of an annotation, in the order in which a value is compared with them."""
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    kinds = typing.get_args(hint) if is_union else (hint,)
    return sorted(
        kinds, key=lambda kind: _ORDER.index(kind) if kind in _ORDER else 10 + (kind is str)
    )


def accept(kind: Any, value: Any) -> tuple[bool, Any]:
    """Whether a value is of a type, and the value as it is kept."""
    if typing.get_origin(kind) is tuple:
        parts = _parts(kind, value)
        if parts is None:
            return False, value
        found = [accept(part, each) for part, each in zip(parts, value, strict=True)]
        return all(each[0] for each in found), tuple(each[1] for each in found)
    if kind is float:
        is_number = _checks.is_number(value)
        return is_number, float(value) if is_number else value
    if kind is int:
        is_integer = _checks.is_integer(value)
        return is_integer, int(value) if is_integer else value
    if kind is str and isinstance(value, os.PathLike):
        return True, os.fspath(value)
    return isinstance(value, kind), value


def readings(kind: Any, text: str) -> Iterator[Any]:
    """The value of a type that a text may be, or nothing."""
    if typing.get_origin(kind) is tuple:
        part = typing.get_args(kind)[0]
        texts = re.split("," if part is str else "[:,x]", text)
        texts = [] if text == "none" else [each.strip() for each in texts]
        yield tuple(next(readings(part, each), None) for each in texts)
    elif kind is NONE and text == "none":
        yield None
    elif kind is bool and text in ("true", "false"):
        yield text == "true"
    elif kind in (int, float):
        try:
            yield kind(text)
        except ValueError:
            return
    elif kind is str and text:
        yield text


def text_of(value: Any) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, tuple | list):
        is_names = all(isinstance(each, str) for each in value)
        return ("," if is_names else ":").join(map(text_of, value)) or "none"
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def placeholder(kind: Any) -> str:
    """The values of a type, in tables and help."""
    if typing.get_origin(kind) is tuple:
        parts = [part for part in typing.get_args(kind) if part is not Ellipsis]
        if parts[0] is str:
            return "NAME,NAME"
        return ":".join(map(placeholder, parts))
    return _WORDS[kind][0]


def expectation(kind: Any, bounds: str) -> str:
    """What a value of a type has to be, in errors."""
    if typing.get_origin(kind) is tuple:
        parts = typing.get_args(kind)
        if parts[0] is str:
            return "names"
        count = {2: "two"}.get(len(parts), str(len(parts)))
        return f"{count} {'integers' if parts[0] is int else 'numbers'}{bounds}"
    if kind is int and bounds == " of at least 1":
        return "a positive integer"
    return _WORDS[kind][1] + (bounds if kind in (int, float) else "")


def text_expectation(kind: Any, bounds: str) -> str:
    """What a value of a type has to be on the command line, in errors."""
    if kind is bool:
        return "true or false"
    expected = expectation(kind, bounds)
    return "names with commas between them" if expected == "names" else expected


def _parts(kind: Any, value: Any) -> tuple[Any, ...] | None:
    """The types of a tuple's parts; None for a value that is not such a tuple."""
    if not isinstance(value, tuple | list):
        return None
    parts = typing.get_args(kind)
    parts = (parts[0],) * len(value) if parts[-1] is Ellipsis else parts
    return parts if len(parts) == len(value) else None
