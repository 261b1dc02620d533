"""Settings: checked, read from text and written as JSON by what their fields say."""

import dataclasses
import json

import pytest

from kbnn._settings import Settings, document_settings, setting


@dataclasses.dataclass(frozen=True)
class Nothing(Settings):
    """A choice without settings."""


@dataclasses.dataclass(frozen=True)
class Bank(Settings):
    """A choice with settings."""

    count: int = setting(4, "how many", least=1)


@dataclasses.dataclass(frozen=True)
class Network(Settings):
    """A choice that is given as a text."""

    is_given_as_text = True

    directory: str = setting(help="where it is", is_place=True)


@document_settings
@dataclasses.dataclass(frozen=True)
class Example(Settings):
    """One of each kind.

    Args:
        {settings}
    """

    weight: float = setting(0.1, "weight of it", least=0)
    share: float = setting(0.5, "share", above=0, most=1)
    held_out: float | int = setting(0.1, "fraction or count", least=0)
    rounds: int | None = setting(None, "rounds", least=1, unset="as many as there are")
    is_on: bool = setting(False, "whether it is on")
    kind_of_sign: str | None = setting(None, "sign", choices=("ste", "none"), unset="ste")
    pair: tuple[float, float] = setting((1.0, 2.0), "pair", above=0, form="FIRST:LAST")
    layers: str | tuple[str, ...] = setting("last", "layers", choices=("last", "all"))
    source: Nothing | Bank = setting(Nothing(), "where from")
    teacher: Network | None = setting(None, "teacher", unset="none")


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("weight", 1, 1.0),
        ("held_out", 500, 500),
        ("held_out", 0.2, 0.2),
        ("rounds", None, None),
        ("pair", [1, 3], (1.0, 3.0)),
        ("layers", ["a", "b"], ("a", "b")),
        ("source", Bank(3), Bank(3)),
        ("teacher", "runs/first", Network("runs/first")),
    ],
)
def test_values_are_kept_in_one_form(name, given, kept):
    found = getattr(Example(**{name: given}), name)
    assert found == kept
    assert type(found) is type(kept)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("weight", -1, "`weight` to be a number of at least 0. Received: weight=-1"),
        ("weight", True, "a number"),
        ("weight", float("nan"), "a number"),
        ("weight", "0.1", "a number"),
        ("share", 0, "`share` to be a number above 0 and at most 1"),
        ("held_out", -1, "a number of at least 0"),
        ("rounds", 0, "`rounds` to be a positive integer or None"),
        ("rounds", 1.5, "a positive integer"),
        ("is_on", 1, "`is_on` to be True or False"),
        ("kind_of_sign", "other", "`kind_of_sign` to be one of ste, none or None"),
        ("pair", (1, 2, 3), "`pair` to be two numbers above 0"),
        ("pair", (0, 2), "two numbers above 0"),
        ("layers", "some", "`layers` to be one of last, all or names"),
        ("source", "bank", "`source` to be Nothing or Bank"),
    ],
)
def test_other_values_are_refused(name, value, expected):
    with pytest.raises(ValueError, match="Expected") as error:
        Example(**{name: value})
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("weight", "1e-3", 0.001),
        ("held_out", "500", 500),
        ("held_out", "0.5", 0.5),
        ("rounds", "none", None),
        ("rounds", "3", 3),
        ("is_on", "true", True),
        # A choice of this name is meant, not None.
        ("kind_of_sign", "none", "none"),
        ("pair", "1:50", (1.0, 50.0)),
        ("layers", "all", "all"),
        ("layers", "conv_1", ("conv_1",)),
        ("layers", "conv_1,conv_3", ("conv_1", "conv_3")),
        ("source", "bank", Bank),
        ("teacher", "runs/first", Network("runs/first")),
    ],
)
def test_values_are_read_from_texts(name, text, value):
    assert Example.fields()[name].parse(text) == value


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("weight", "much", "`weight` to be a number of at least 0. Received: weight=much"),
        ("pair", "5", "two numbers above 0, written FIRST:LAST. Received: pair=5"),
        ("pair", "1:x", "two numbers"),
        ("is_on", "True", "`is_on` to be true or false. Received: is_on=True"),
        ("rounds", "never", "`rounds` to be a positive integer or none"),
        ("kind_of_sign", "other", "`kind_of_sign` to be one of ste, none. Received"),
        ("source", "Bank", "`source` to be one of nothing, bank. Received: source=Bank"),
        ("layers", "", "one of last, all or names with commas between them. Received: layers="),
        ("layers", "a,,b", "names with commas between them"),
        ("teacher", "", "`teacher` to be the where it is"),
    ],
)
def test_other_texts_are_refused(name, text, expected):
    with pytest.raises(ValueError, match="Expected") as error:
        Example.fields()[name].parse(text)
    assert expected in str(error.value)


def test_json_is_read_back():
    example = Example(0.2, source=Bank(9), pair=(1, 3), teacher="runs/first", rounds=4)
    content = json.loads(json.dumps(example.to_dict()))
    assert content["source"] == {"kind": "bank", "count": 9}
    assert content["teacher"] == {"directory": "runs/first"}
    assert Example.from_dict(content) == example
    assert Example.from_dict({"weight": 0.2}) == Example(0.2)
    assert Example().to_dict(defaults=False) == {}
    assert example.to_dict(places=False)["teacher"] == {}
    assert example.replace(weight=0.1, source=Nothing()).source == Nothing()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"wait": 1}, "Expected the settings of Example: weight, .*Received: wait"),
        (None, "Received: None"),
        ({"source": {"kind": "batch"}}, "kind of `source` to be one of nothing, bank"),
        ({"source": {"kind": "bank", "count": 0}}, "`count` to be a positive integer"),
        ({"teacher": {}}, r"Expected `directory` \(where it is\)"),
    ],
)
def test_other_json_is_refused(content, expected):
    with pytest.raises(ValueError, match=expected):
        Example.from_dict(content)


def test_fields_describe_themselves():
    fields = Example.fields()
    shown = {name: (field.placeholder, field.default_text) for name, field in fields.items()}
    assert shown == {
        "weight": ("NUMBER", "0.1"),
        "share": ("NUMBER", "0.5"),
        "held_out": ("NUMBER", "0.1"),
        "rounds": ("INTEGER", "as many as there are"),
        "is_on": ("true|false", "false"),
        "kind_of_sign": ("ste|none", "ste"),
        "pair": ("FIRST:LAST", "1:2"),
        "layers": ("last|all|NAME,NAME", "last"),
        "source": ("nothing|bank", "nothing"),
        "teacher": ("network", "none"),
    }
    assert "\nArgs:\n    weight: Weight of it. Default: 0.1.\n" in Example.__doc__
