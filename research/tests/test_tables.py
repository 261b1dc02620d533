"""Tables that several runs write."""

import dataclasses

import pytest

from research import tables


@dataclasses.dataclass(frozen=True)
class Row:
    machine: str
    model: str
    share: float | None


@dataclasses.dataclass(frozen=True)
class OtherRow:
    machine: str
    model: str


def test_new_rows_replace_those_of_the_same_key(tmp_path):
    file, by = tmp_path / "new" / "table.csv", ("machine", "model")
    tables.update([Row("b", "net", 0.1), Row("b", "net", None), Row("b", "layer", 1)], file, by=by)
    tables.update([Row("a", "net", 0.1)], file, by=by)
    tables.update([Row("b", "net", 0.30000000000000004)], file, by=by)
    assert file.read_text().splitlines() == [
        *("machine,model,share", "a,net,0.1", "b,layer,1", "b,net,0.30000000000000004"),
    ]


def test_other_columns_are_refused(tmp_path):
    file = tmp_path / "table.csv"
    tables.update([Row("a", "net", 0.1)], file, by=("model",))
    with pytest.raises(ValueError, match=r"Expected .*columns"):
        tables.update([OtherRow("a", "net")], file, by=("model",))
