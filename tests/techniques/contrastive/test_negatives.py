"""The settings of the negatives: their checks, aliases, and the configs that hold them."""

import dataclasses
import json

import pytest
import tf_keras as keras

import kbnn
from kbnn.layers import ContrastiveTerm
from kbnn.quantizers import ContrastiveSign
from kbnn.techniques import EmbeddingQueue, MemoryBank, SameBatch


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (EmbeddingQueue, {"count": 0}, "`count` to be a positive integer. Received: count=0"),
        (EmbeddingQueue, {"count": 1.5}, "`count` to be a positive integer"),
        (EmbeddingQueue, {"head_momentum": 1.0}, "`head_momentum` to be a number from 0 to 0.9999"),
        (MemoryBank, {"rows": 0}, "`rows` to be a positive integer"),
        (MemoryBank, {"rows": True}, "`rows` to be a positive integer"),
        (MemoryBank, {"count": 0}, "`count` to be a positive integer"),
        (
            MemoryBank,
            {"momentum": 1.5},
            "`momentum` to be a number from 0 to 1. Received: momentum=1.5",
        ),
        (MemoryBank, {"momentum": -0.1}, "`momentum` to be a number from 0 to 1"),
        (MemoryBank, {"momentum": True}, "`momentum` to be a number from 0 to 1"),
        (MemoryBank, {"per_anchor": "no"}, "`per_anchor` to be True or False"),
        (MemoryBank, {"seed": 1.7}, "`seed` to be an integer"),
    ],
)
def test_settings_out_of_range_are_refused(kind, options, message):
    with pytest.raises(ValueError, match="Expected " + message):
        kind(**options)


def test_settings_of_another_source_are_refused():
    for kind, name in ((SameBatch, "count"), (EmbeddingQueue, "rows"), (EmbeddingQueue, "seed")):
        with pytest.raises(TypeError, match=name):
            kind(**{name: 5})
    with pytest.raises(TypeError, match="count"):
        ContrastiveTerm("queue", count=5)


def test_settings_are_values():
    assert MemoryBank(5) == MemoryBank(rows=5) != MemoryBank(6)
    with pytest.raises(dataclasses.FrozenInstanceError):
        EmbeddingQueue().count = 5


@pytest.mark.parametrize(
    ("alias", "expected"),
    [("batch", SameBatch()), ("same_batch", SameBatch()), ("queue", EmbeddingQueue())],
)
def test_an_alias_means_the_defaults(alias, expected):
    assert ContrastiveTerm(alias).negatives == expected
    assert ContrastiveSign(negatives=alias).contrast.negatives == expected


def test_what_is_neither_says_what_is_expected():
    message = r"`negatives` to be kbnn\.techniques\.SameBatch\(\.\.\.\).*queue.*'sideways'"
    with pytest.raises(ValueError, match=message):
        ContrastiveTerm("sideways")


@pytest.mark.parametrize(
    "negatives", [SameBatch(), EmbeddingQueue(7, 0.5), MemoryBank(9, 5, 0.25, True, 2)]
)
def test_a_config_keeps_them(negatives):
    for made in (ContrastiveTerm(negatives), ContrastiveSign(negatives=negatives)):
        config = json.loads(json.dumps(made.get_config()))
        copy = type(made).from_config(config)
        assert copy.get_config() == made.get_config()
        assert getattr(copy, "contrast", copy).negatives == negatives


FLAT = {"count": 4096, "rows": None, "momentum": 0.5, "per_anchor": False, "seed": 0}


@pytest.mark.parametrize(
    ("flat", "expected"),
    [
        ({"negatives": "batch", **FLAT}, SameBatch()),
        ({"negatives": "queue", **FLAT, "count": 7}, EmbeddingQueue(7, head_momentum=0)),
        ({"negatives": {"source": "queue", "count": 7}}, EmbeddingQueue(7, head_momentum=0)),
        (
            {"negatives": "bank", **FLAT, "rows": 9, "per_anchor": True},
            MemoryBank(9, per_anchor=True),
        ),
        ({"negatives": "queue", "count": 7}, EmbeddingQueue(7, head_momentum=0)),
        ({}, SameBatch()),
    ],
)
def test_configs_of_earlier_versions_have_the_options_beside_the_source(flat, expected):
    term = ContrastiveTerm.from_config({"name": "term", "weight": 0.5, **flat})
    assert (term.negatives, term.weight) == (expected, 0.5)
    base = {"class_name": "SteSign", "config": {"name": "base"}}
    sign = ContrastiveSign.from_config({"name": "sign", "base": base, **flat})
    assert sign.contrast.negatives == expected


def test_layers_of_the_state_keep_their_registered_names():
    for negatives, name in ((EmbeddingQueue(7), "EmbeddingQueue"), (MemoryBank(9), "MemoryBank")):
        memory = kbnn.layers.ContrastiveTerm(negatives).memory
        assert keras.utils.get_registered_name(type(memory)) == f"kbnn>{name}"
