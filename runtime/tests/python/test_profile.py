"""`profile`, and the models of one operator that it times."""

import models
import numpy as np
import pytest
from cases import residual_blocks

from kbnn_runtime import Interpreter
from kbnn_runtime.graph import operators, single_operator
from kbnn_runtime.session import Session

TYPES = ["CAST", "MEAN", "RESHAPE", "FULLY_CONNECTED"]


def batch(count: int = 1) -> np.ndarray:
    shape = (count, models.HEIGHT, models.WIDTH, 1)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def test_every_operator_is_in_the_profile():
    profile = Interpreter(models.classifier()).profile(batch(), runs=5)
    assert [entry.type for entry in profile.operators] == TYPES
    assert all(entry.milliseconds > 0 for entry in profile.operators)
    assert sum(entry.share for entry in profile.operators) == pytest.approx(1)
    assert profile.milliseconds > 0
    assert profile.runs == 5


def test_the_expensive_operator_has_the_largest_share():
    builder = models.ModelBuilder()
    given = builder.tensor("x", (1, 4096))
    doubled = builder.tensor("double", (1, 4096))
    builder.operator("ADD", [given, given], [doubled])
    kernel = builder.tensor("kernel", (2048, 4096), data=np.ones((2048, 4096)))
    output = builder.tensor("y", (1, 2048))
    builder.operator(
        "FULLY_CONNECTED",
        [doubled, kernel, -1],
        [output],
        models.schema.FullyConnectedOptionsT(),
    )
    model = builder.build([given], [output])
    profile = Interpreter(model).profile(np.ones((1, 4096), np.float32))
    assert profile.operators[1].share > 0.9
    assert list(profile.by_type()) == ["FULLY_CONNECTED", "ADD"]


def test_types_add_up():
    profile = Interpreter(models.classifier()).profile(batch(), runs=3)
    sums = profile.by_type()
    assert sorted(sums) == sorted(TYPES)
    assert sum(entry.share for entry in sums.values()) == pytest.approx(1)


def test_the_table_and_the_document_list_all_operators():
    profile = Interpreter(models.classifier()).profile(batch(), runs=3)
    assert all(f"{kind} " in str(profile) for kind in TYPES)
    assert [entry["type"] for entry in profile.to_dict()["operators"]] == TYPES


def test_fused_operators_are_profiled_separately():
    model, images = residual_blocks()
    profile = Interpreter(model).profile(images, runs=2)
    assert [entry.type for entry in profile.operators] == ["LceQuantize", "LceBconv2d", "ADD"] * 2


def test_larger_batches_and_several_inputs():
    assert len(Interpreter(models.classifier()).profile(batch(7), runs=2).operators) == 4
    rows = np.ones((3, 4), np.float32)
    profile = Interpreter(models.pairs()).profile({"a": rows, "b": rows}, runs=2)
    assert [entry.name for entry in profile.operators] == ["total", "product"]


@pytest.mark.parametrize("settings", [{"runs": 0}, {"runs": 1.5}, {"warmup": -1}])
def test_wrong_numbers_of_runs_are_refused(settings):
    with pytest.raises(ValueError, match=r"Expected (runs|warmup) to be an integer"):
        Interpreter(models.classifier()).profile(batch(), **settings)


def test_wrong_batches_are_refused():
    with pytest.raises(ValueError, match="Expected uint8"):
        Interpreter(models.classifier()).profile(batch().astype(float))
    with pytest.raises(ValueError, match="at least one example"):
        Interpreter(models.classifier()).profile(batch(0))
    with pytest.raises(ValueError, match="Expected sizes that the model can be resized to"):
        Interpreter(models.classifier(reshape_batch=1)).profile(batch(2))


def test_operators_name_their_inputs_without_constants():
    found = operators(models.classifier())
    assert [entry.type for entry in found] == TYPES
    # Each operator reads the output of the one before.
    assert [entry.inputs for entry in found[1:]] == [entry.outputs for entry in found[:-1]]


@pytest.mark.parametrize("index", range(len(TYPES)))
def test_an_extracted_operator_computes_the_same_as_in_the_network(index):
    content = models.classifier()
    options = {"num_threads": 1, "kernels": "auto"}
    whole = Session(content, preserve_all_tensors=True, **options)
    whole.prepare([batch(2)])
    whole.invoke()
    operator = operators(content)[index]
    alone = Session(single_operator(content, index, operator), **options)
    outputs = alone.run([whole.tensor(tensor) for tensor in operator.inputs])
    np.testing.assert_array_equal(outputs[0], whole.tensor(operator.outputs[0]))
