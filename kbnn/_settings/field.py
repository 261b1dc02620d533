"""A setting: a field of a `Settings` class, and what it takes."""

import dataclasses
import inspect
import os
from collections.abc import Callable
from typing import Any

from kbnn import _checks
from kbnn._settings import values

REQUIRED = dataclasses.MISSING


def setting(
    default: Any = REQUIRED,
    help: str = "",
    *,
    choices: tuple[str, ...] = (),
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    form: str | None = None,
    unset: str | None = None,
    flag: str | None = None,
    is_place: bool = False,
) -> Any:
    """Declare a field of a `Settings` class.

    Args:
        default: Its value unless another one is given; without it, the setting is required.
        help: What it does, without a full stop.
        choices: The valid strings.
        least: The smallest valid number.
        above: A bound that valid numbers exceed.
        most: The largest valid number.
        form: How it is written on the command line, if its type does not say so.
        unset: What None means, for the help.
        flag: Its option of `kbnn train`, if it has one besides `--set`.
        is_place: Whether it says where something is. Weights do not depend on places.
    """
    facts = dict(help=help, choices=choices, least=least, above=above, most=most)
    facts |= dict(form=form, unset=unset, flag=flag, is_place=is_place)
    return dataclasses.field(default=default, metadata=facts)


def default_of(function: Callable[..., Any], argument: str) -> Any:
    """The default of an argument, for a setting that a function is given."""
    return inspect.signature(function).parameters[argument].default


@dataclasses.dataclass(frozen=True)
class Field:
    """A setting: what `setting` declares, and what its annotation says.

    Attributes:
        types: The alternatives of its annotation that are plain values.
        kinds: The alternatives that are settings classes themselves, by name.
    """

    name: str
    types: list[Any]
    kinds: dict[str, type[Any]]
    default: Any
    help: str
    choices: tuple[str, ...]
    least: float | None
    above: float | None
    most: float | None
    form: str | None
    unset: str | None
    flag: str | None
    is_place: bool

    @property
    def is_required(self) -> bool:
        return self.default is REQUIRED

    @property
    def placeholder(self) -> str:
        """Its values, for tables and help."""
        if self.form is not None:
            return self.form
        none = ["none"] if values.NONE in self.types and self.unset is None else []
        types = map(values.placeholder, self._named_types)
        return "|".join([*self.choices, *types, *self.kinds, *none])

    @property
    def default_text(self) -> str:
        """Its default, for tables and help."""
        if self.is_required:
            return "required"
        if self.default is None and self.unset is not None:
            return self.unset
        return self.text_of(self.default)

    def text_of(self, value: Any) -> str:
        """A value as it is written on the command line."""
        is_choice = isinstance(value, tuple(self.kinds.values()))
        return value.kind() if is_choice else values.text_of(value)

    def check(self, value: Any) -> Any:
        """The value as it is kept.

        Raises:
            ValueError: It is not valid.
        """
        if isinstance(value, tuple(self.kinds.values())):
            return value
        if isinstance(value, str | os.PathLike) and self._text_kind is not None:
            return self._text_kind(os.fspath(value))
        found = self._first_valid(value)
        if not found:
            raise _checks.refuse(self.name, self._expected, value)
        return found[0]

    def parse(self, text: str) -> Any:
        """Read a value from the command line; for the name of a settings class, the class.

        Raises:
            ValueError: The text is not a valid value.
        """
        if self._text_kind is not None and text:
            return self._text_kind(text)
        if text in self.kinds:
            return self.kinds[text]
        candidates = [text] if text in self.choices else []
        candidates += [each for kind in self.types for each in values.readings(kind, text)]
        for candidate in candidates:
            found = self._first_valid(candidate)
            if found:
                return found[0]
        form = f", written {self.form}" if self.form else ""
        raise ValueError(
            f"Expected `{self.name}` to be {self._expected_text}{form}. "
            f"Received: {self.name}={text}"
        )

    @property
    def _text_kind(self) -> type[Any] | None:
        return next((kind for kind in self.kinds.values() if kind.is_given_as_text), None)

    def _first_valid(self, value: Any) -> list[Any]:
        """The value as the first type keeps it that it fits; or nothing."""
        found = [values.accept(kind, value) for kind in self.types]
        return [kept for is_accepted, kept in found if is_accepted and self._is_valid(kept)][:1]

    def _is_valid(self, value: Any) -> bool:
        if isinstance(value, str) and self.choices:
            return value in self.choices
        return all(map(self._is_in_range, value if isinstance(value, tuple) else (value,)))

    def _is_in_range(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return True
        return _checks.is_number(value, least=self.least, above=self.above, most=self.most)

    @property
    def _named_types(self) -> list[Any]:
        """The types that errors and help name: no str if there are choices, one type of number."""
        hidden = {values.NONE, *([str] if self.choices else []), *([int] * (float in self.types))}
        return [kind for kind in self.types if kind not in hidden]

    @property
    def _expected(self) -> str:
        """What a value in Python has to be."""
        words = [f"one of {', '.join(self.choices)}"] if self.choices else []
        words += [values.expectation(kind, self._bounds) for kind in self._named_types]
        words += [kind.__name__ for kind in self.kinds.values()]
        words += ["None"] if values.NONE in self.types else []
        return _one_of(words)

    @property
    def _expected_text(self) -> str:
        """What a value on the command line has to be."""
        if self._text_kind is not None:
            return f"the {next(iter(self._text_kind.fields().values())).help}"
        names = [*self.choices, *self.kinds]
        words = [f"one of {', '.join(names)}"] if len(names) > 1 else names
        words += [values.text_expectation(kind, self._bounds) for kind in self._named_types]
        words += ["none"] if values.NONE in self.types and "none" not in names else []
        return _one_of(words)

    @property
    def _bounds(self) -> str:
        if self.least is not None and self.most is not None:
            return f" from {self.least:.10g} to {self.most:.10g}"
        bounds = {"of at least": self.least, "above": self.above, "at most": self.most}
        parts = [f"{word} {bound:.10g}" for word, bound in bounds.items() if bound is not None]
        return f" {' and '.join(parts)}" if parts else ""


def _one_of(words: list[str]) -> str:
    return ", ".join(words[:-1]) + (" or " if len(words) > 1 else "") + words[-1]
