"""`kbnn settings`: what there is to set."""

import json
import re

import pytest
from typer.testing import CliRunner

from kbnn.cli.main import app
from kbnn.runs.assignments import PARTS, settings_of
from kbnn.techniques import TECHNIQUES


def settings(*arguments):
    # pytest-xdist sets a number of columns for its processes.
    return CliRunner(env={"COLUMNS": None}).invoke(app, ["settings", *arguments])


def test_the_overview_lists_parts_and_methods():
    result = settings()
    assert result.exit_code == 0
    for name in ("data", "network", "fit", *TECHNIQUES):
        assert name.replace("_", "-") in result.stdout
    listed = json.loads(settings("--json").stdout)
    assert [each["name"] for each in listed][-1] == "contrastive"
    assert all(each["description"].endswith(".") for each in listed)


@pytest.mark.parametrize("name", ["latent-weights", "latent_weights"])
def test_a_method_lists_its_settings(name):
    result = settings(name)
    assert result.exit_code == 0
    assert "twin | mixture | gradient" in result.stdout
    assert "way.real_weight" in result.stdout
    assert "kbnn train --method latent-weights --set way=twin" in result.stdout


@pytest.mark.parametrize("name", [*PARTS, *TECHNIQUES])
def test_no_value_is_cut_off_and_the_example_is_valid(name):
    shown = settings(name).stdout
    assert "\u2026" not in shown
    words = re.sub(r"[^\w\-=.:/,]+", " ", shown)
    for setting in settings_of(name):
        for value in setting.field.placeholder.split("|"):
            assert value in words
    assigned = re.search(r"--set ([\w.]+)=(\S+) \.\.\.", shown)
    by_path = {each.path: each.field for each in settings_of(name)}
    by_path[f"{name}.{assigned[1]}"].parse(assigned[2])


def test_a_default_without_a_value_is_shown_as_it_is_given():
    assert "none: the architecture's" in settings("network").stdout
    # Here, "none" is a quantizer, not the default.
    assert "none: the method's, else ste" not in settings("network").stdout


def test_the_network_of_another_run_is_given_by_from():
    document = json.loads(settings("network", "--json").stdout)
    (pretrained,) = (each for each in document["settings"] if each["name"] == "pretrained")
    assert (pretrained["option"], pretrained["values"]) == ("--from", "RUN")


def test_json_has_every_fact():
    document = json.loads(settings("contrastive", "--json").stdout)
    assert document["name"] == "contrastive"
    by_name = {each["name"]: each for each in document["settings"]}
    assert by_name["weight"] == {
        "name": "weight",
        "option": None,
        "values": "NUMBER",
        "default": "0.1",
        "help": "weight of the term",
        "with": None,
    }
    assert by_name["negatives.rows"]["with"] == "negatives=memory_bank"
    part = json.loads(settings("fit", "--json").stdout)
    assert {"--epochs", None} < {each["option"] for each in part["settings"]}


def test_an_unknown_method_is_refused():
    result = settings("magic")
    assert result.exit_code == 2
    assert "Expected one of data, network, fit, self-binarizing" in result.stderr
