"""Checks of arguments, each with the same error: "Expected `name` to be ... Received: name=value".

A check returns the value, as a plain int or float where it is a number:

    self.weight = _checks.number("weight", weight, least=0)
"""

import math
import numbers
from collections.abc import Collection, Iterable
from typing import Any

import tf_keras as keras

WAY_OUT = (
    "Build it with tf_keras (Keras 2): `import kbnn` before anything else, then "
    "`import tf_keras as keras`. Larq, and so kbnn, does not run on Keras 3."
)


def refuse(name: str, expected: str, value: Any) -> ValueError:
    """Return the error for an argument that is not what is expected."""
    return ValueError(f"Expected `{name}` to be {expected}. Received: {name}={value!r}")


def number(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> float:
    """Raise ValueError unless a value is a finite number within the bounds.

    Args:
        name: name of the argument.
        value: its value. True and False are not numbers.
        least, above: lower bound, included or excluded.
        most, below: upper bound, included or excluded.

    Returns:
        The value as a float.

    Example:
        >>> number("decay", 2, above=0, most=1)
        Traceback (most recent call last):
        ValueError: Expected `decay` to be a number above 0 and at most 1. Received: decay=2
    """
    if not is_number(value, least=least, above=above, most=most, below=below):
        bounds = {"of at least": least, "above": above, "at most": most, "below": below}
        parts = [f"{words} {bound:g}" for words, bound in bounds.items() if bound is not None]
        raise refuse(name, " ".join(["a number", " and ".join(parts)]).rstrip(), value)
    return float(value)


def is_number(
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> bool:
    """Whether a value is a finite number within the bounds. True and False are not numbers."""
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return (
        is_real
        and math.isfinite(value)
        and (least is None or value >= least)
        and (above is None or value > above)
        and (most is None or value <= most)
        and (below is None or value < below)
    )


def share(name: str, value: Any) -> float:
    """Raise ValueError unless a value is a number from 0 to 1; returns it as a float."""
    if not is_number(value, least=0, most=1):
        raise refuse(name, "a number from 0 to 1", value)
    return float(value)


def integer(name: str, value: Any, *, least: int | None = None, most: int | None = None) -> int:
    """Raise ValueError unless a value is an integer within the bounds; returns it as an int."""
    if not (is_integer(value) and is_number(value, least=least, most=most)):
        bounds = {"of at least": least, "at most": most}
        parts = [f"{words} {bound}" for words, bound in bounds.items() if bound is not None]
        raise refuse(name, " ".join(["an integer", " and ".join(parts)]).rstrip(), value)
    return int(value)


def positive_int(name: str, value: Any) -> int:
    """Raise ValueError unless a value is an integer of at least 1; returns it as an int."""
    if not is_integer(value) or value < 1:
        raise refuse(name, "a positive integer", value)
    return int(value)


def is_integer(value: Any) -> bool:
    """Whether a value is an integer of Python or NumPy. True and False are not."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def boolean(name: str, value: Any) -> bool:
    """Raise ValueError unless a value is True or False; returns it."""
    if not isinstance(value, bool):
        raise refuse(name, "True or False", value)
    return value


def one_of(name: str, value: Any, valid: Collection[Any]) -> Any:
    """Raise ValueError unless a value is one of the valid ones; returns it."""
    # True equals 1, but is not a number.
    kind = isinstance(value, bool)
    if not any(value == each and isinstance(each, bool) is kind for each in valid):
        raise refuse(name, "one of " + ", ".join(map(repr, valid)), value)
    return value


def names(
    name: str, value: Any, *, valid: Collection[str] | None = None, required: bool = False
) -> tuple[str, ...]:
    """Raise ValueError unless a value is a list of names.

    Args:
        name: name of the argument.
        value: its value. A string is not a list.
        valid: the names to choose from. By default any name is valid.
        required: whether the list needs a name.

    Returns:
        The names as a tuple.
    """
    is_list = isinstance(value, Iterable) and not isinstance(value, str)
    found = tuple(value) if is_list else ()
    is_valid = all(isinstance(each, str) and (valid is None or each in valid) for each in found)
    if not (is_list and is_valid) or (required and not found):
        expected = "a list of one or more names" if required else "a list of names"
        raise refuse(name, expected + ("" if valid is None else f" of {', '.join(valid)}"), value)
    return found


def keras2_model(name: str, value: Any) -> None:
    """Raise TypeError unless a value is a Keras 2 model."""
    if not isinstance(value, keras.Model):
        raise TypeError(_wrong_type(name, "a Keras 2 model", value))


def keras2_layer(name: str, value: Any) -> None:
    """Raise TypeError unless a value is a Keras 2 layer."""
    if not isinstance(value, keras.layers.Layer):
        raise TypeError(_wrong_type(name, "a Keras 2 layer", value))


def built(model: keras.Model) -> None:
    """Raise ValueError unless a model has its weights."""
    if not model.built:
        raise ValueError(
            "Expected a model that has its weights. Received: "
            f"model={model.name!r}, not built. Begin it with keras.Input, or call it on a batch."
        )


def _wrong_type(name: str, expected: str, value: Any) -> str:
    kind = type(value)
    message = (
        f"Expected `{name}` to be {expected}. "
        f"Received: {name}={kind.__module__}.{kind.__qualname__}."
    )
    is_keras_3 = any(base.__module__.split(".")[0] == "keras" for base in kind.__mro__)
    return f"{message} {WAY_OUT}" if is_keras_3 else message
