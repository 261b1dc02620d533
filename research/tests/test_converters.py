"""Both converters beside each other, on architectures and on random networks."""

import csv

import numpy as np
from typer.testing import CliRunner

from kbnn.converters import VerificationError
from research import converters
from research.random_networks import random_network


def invoke(*arguments):
    return CliRunner().invoke(converters.app, list(map(str, arguments)))


def read(file):
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_a_row_for_each_converter(tmp_path):
    file = tmp_path / "converters.csv"
    result = invoke("table", "vgg_tiny", "--file", file)
    assert result.exit_code == 0, result.output
    ours, theirs = read(file)
    assert (ours["converter"], theirs["converter"]) == ("kbnn", "lce")
    assert ours["binary_layers"] == theirs["binary_layers"] == "3"
    assert ours["packed_outputs"] == theirs["packed_outputs"] == "2"
    assert float(ours["max_difference"]) < 1e-3


def test_an_unknown_architecture_is_named():
    assert "Received: ['lenet']" in " ".join(invoke("table", "lenet").output.split())


def test_random_networks_convert(tmp_path):
    file = tmp_path / "random.csv"
    result = invoke("random", "--count", 4, "--first", 2, "--file", file)
    assert result.exit_code == 0, result.output
    (row,) = read(file)
    assert (row["wrong"], row["left_real"], row["fewer_packed"]) == ("0", "0", "0")
    assert int(row["binary_layers"]) > 4


def test_a_wrong_file_fails_the_command(tmp_path, monkeypatch):
    class Failed(VerificationError):
        def __init__(self):
            Exception.__init__(self, "it does not agree")

    def refuse(*_, **__):
        raise Failed

    monkeypatch.setattr(converters.converters, "convert", refuse)
    result = invoke("random", "--count", 1, "--file", tmp_path / "random.csv")
    assert result.exit_code == 1
    assert "seed 0: it does not agree" in result.output
    assert read(tmp_path / "random.csv")[0]["wrong"] == "1"


def test_a_seed_gives_one_network():
    first, second = (random_network(5) for _ in range(2))
    assert len(first.layers) == len(second.layers)
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
