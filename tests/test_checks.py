"""The checks of arguments: what they accept, return and say."""

import math

import numpy as np
import pytest

from kbnn import _checks


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (lambda: _checks.number("x", "1"), "a number"),
        (lambda: _checks.number("x", True), "a number"),
        (lambda: _checks.number("x", math.nan, least=0), "a number of at least 0"),
        (lambda: _checks.number("x", math.inf), "a number"),
        (lambda: _checks.number("x", -1e-9, least=0), "a number of at least 0"),
        (lambda: _checks.number("x", 0, above=0, most=0.5), "a number above 0 and at most 0.5"),
        (lambda: _checks.number("x", 0.6, above=0, most=0.5), "a number above 0 and at most 0.5"),
        (lambda: _checks.number("x", 1, least=0, below=1), "a number of at least 0 and below 1"),
        (lambda: _checks.share("x", 1.1), "a number from 0 to 1"),
        (lambda: _checks.share("x", math.nan), "a number from 0 to 1"),
        (lambda: _checks.share("x", False), "a number from 0 to 1"),
        (lambda: _checks.integer("x", 1.0), "an integer"),
        (lambda: _checks.integer("x", 1, least=2), "an integer of at least 2"),
        (
            lambda: _checks.integer("x", 9, least=0, most=8),
            "an integer of at least 0 and at most 8",
        ),
        (lambda: _checks.integer("x", True), "an integer"),
        (lambda: _checks.positive_int("x", 0), "a positive integer"),
        (lambda: _checks.positive_int("x", True), "a positive integer"),
        (lambda: _checks.positive_int("x", None), "a positive integer"),
        (lambda: _checks.boolean("x", 1), "True or False"),
        (lambda: _checks.one_of("x", "c", ("a", "b")), "one of 'a', 'b'"),
        (lambda: _checks.one_of("x", True, (1, "a")), "one of 1, 'a'"),
        (lambda: _checks.one_of("x", 0, (False, "a")), "one of False, 'a'"),
        (lambda: _checks.one_of("x", [], {"a": 1}), "one of 'a'"),
        (lambda: _checks.names("x", "ab"), "a list of names"),
        (lambda: _checks.names("x", None), "a list of names"),
        (lambda: _checks.names("x", ["a", 1]), "a list of names"),
        (lambda: _checks.names("x", ["c"], valid=("a", "b")), "a list of names of a, b"),
        (lambda: _checks.names("x", [], required=True), "a list of one or more names"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_what_was_expected(check, expected):
    with pytest.raises(ValueError, match=rf"^Expected `x` to be {expected}\. Received: x="):
        check()


def test_a_right_value_is_returned_as_a_plain_number():
    values = [
        _checks.number("x", np.float32(0.5), least=0, below=1),
        _checks.share("x", 1),
        _checks.positive_int("x", np.int64(3)),
        _checks.integer("x", 0, least=0),
    ]
    assert values == [0.5, 1.0, 3, 0]
    assert [type(value) for value in values] == [float, float, int, int]
    assert _checks.boolean("x", False) is False
    assert _checks.one_of("x", "a", ("a", "b")) == "a"
    assert _checks.one_of("x", None, (None, 1)) is None
    assert _checks.names("x", iter(["b", "a"]), valid=("a", "b")) == ("b", "a")
    assert _checks.names("x", []) == ()
