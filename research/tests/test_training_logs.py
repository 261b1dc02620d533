"""The table of training logs: nothing is lost, and the same logs give the same bytes."""

import gzip

import pytest
from typer.testing import CliRunner

from research import training_logs

FIRST = "epoch,loss,val_accuracy\r\n1,0.6614652276039124,0.72\r\n2,1e-09,0.75\r\n"
SECOND = "epoch,loss,kernel_flips\r\n1,0.5,0.25\r\n"


@pytest.fixture
def files(tmp_path):
    for name, text in (("first", FIRST), ("second", SECOND)):
        (tmp_path / f"{name}.csv").write_bytes(text.encode())
    return [tmp_path / "first.csv", tmp_path / "second.csv"]


def test_logs_read_back_as_they_were_whatever_their_order(files, tmp_path):
    keys = [("b", "plain", 10), ("a", "float", 0)]
    tables = [tmp_path / "one" / "logs.csv.gz", tmp_path / "two" / "logs.csv.gz"]
    for table, runs in zip(tables, ([0, 1], [1, 0]), strict=True):
        for run in runs:
            training_logs.merge(files[run], keys[run], table)
    assert tables[0].read_bytes() == tables[1].read_bytes()
    assert list(training_logs.read(tables[0])) == sorted(keys)
    for key, text in zip(keys, (FIRST, SECOND), strict=True):
        options = ["--seed", str(key[2]), "--file", str(tables[0])]
        result = CliRunner().invoke(training_logs.app, [*key[:2], *options])
        assert result.stdout == text.replace("\r\n", "\n")


def test_a_run_that_is_repeated_replaces_its_log(files, tmp_path):
    table, key = tmp_path / "logs.csv.gz", ("a", "plain", 0)
    for file in files:
        training_logs.merge(file, key, table)
    expected = {key: [{"epoch": "1", "loss": "0.5", "kernel_flips": "0.25"}]}
    assert training_logs.read(table) == expected


def test_an_unknown_run_is_answered_with_the_known_ones(files, tmp_path):
    table = tmp_path / "logs.csv.gz"
    training_logs.merge(files[0], ("a", "plain", 3), table)
    result = CliRunner().invoke(training_logs.app, ["a", "plain", "--file", str(table)])
    assert result.exit_code == 2
    assert "plain seed 3" in " ".join(result.stderr.split())


def test_other_columns_are_refused(tmp_path):
    (tmp_path / "logs.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n"))
    with pytest.raises(ValueError, match=r"columns.*Received: \['a', 'b'\]"):
        training_logs.read(tmp_path / "logs.csv.gz")
