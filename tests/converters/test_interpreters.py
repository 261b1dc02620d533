"""Both interpreters run a file alike, the choice between them, and how long they take."""

import json
import platform
import re
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn_runtime
from kbnn import converters
from kbnn.converters import interpreters
from kbnn.converters.writer import write
from tests.converters.networks import chain, images, randomised

EACH_INTERPRETER = ["kbnn-runtime", pytest.param("lce", marks=pytest.mark.lce)]


@pytest.fixture
def converted(plain_chain):
    return plain_chain.model, plain_chain.path


@pytest.fixture
def without_runtime(monkeypatch):
    monkeypatch.setitem(sys.modules, "kbnn_runtime", None)


@pytest.fixture
def without_lce(monkeypatch):
    monkeypatch.setitem(sys.modules, "larq_compute_engine", None)


@pytest.mark.lce
@pytest.mark.parametrize("network", ["plain_chain", "plain_residual"])
def test_both_agree_with_keras(network, request):
    model, path, _, x = request.getfixturevalue(network)
    x = x[:20]
    found = {name: converters.verify(model, path, x, interpreter=name) for name in ("lce", None)}
    for name, parity in found.items():
        assert parity.passed, parity.failures
        assert parity.interpreter == (name or "kbnn-runtime")
        assert parity.to_dict()["interpreter"] == parity.interpreter
        assert parity.interpreter in str(_text(parity))


def _text(parity):
    from rich.console import Console

    console = Console(width=100)
    with console.capture() as capture:
        console.print(parity)
    return capture.get()


@pytest.mark.parametrize("name", EACH_INTERPRETER)
def test_a_wrong_file_is_found(converted, name):
    _, path = converted
    other = randomised(chain(classifier_activation=None), seed=3)
    parity = converters.verify(other, path, images(other, 20), interpreter=name)
    assert not parity.passed
    assert parity.interpreter == name


def test_several_inputs_and_outputs_find_their_places(tmp_path):
    left, right = keras.Input((4,), name="left"), keras.Input((3,), name="right")
    both = keras.layers.Concatenate()([right, left])
    one = keras.layers.Dense(2, name="one")(both)
    two = keras.layers.Dense(5, name="two")(both)
    model = randomised(keras.Model([left, right], [one, two]))
    path = tmp_path / "model.tflite"
    converters.convert(model, path)
    draw = np.random.default_rng(0)
    data = ((draw.normal(size=(20, 4)).astype("f"), draw.normal(size=(20, 3)).astype("f")),)
    for name in interpreters.installed_interpreters():
        assert converters.verify(model, path, data, interpreter=name).passed


@pytest.mark.lce
def test_lces_interpreter_serves_where_kbnn_runtime_is_not_installed(converted, without_runtime):
    model, path = converted
    assert interpreters.installed_interpreters() == ("lce",)
    assert converters.verify(model, path, images(model, 4)).interpreter == "lce"
    with pytest.raises(ValueError, match="kbnn-runtime is not installed"):
        converters.verify(model, path, images(model, 4), interpreter="kbnn-runtime")
    assert [one.interpreter for one in converters.latency(path, runs=5)] == ["lce"]


def test_without_lce_the_other_interpreter_serves(converted, without_lce):
    model, path = converted
    assert interpreters.installed_interpreters() == ("kbnn-runtime",)
    assert converters.verify(model, path, images(model, 4)).interpreter == "kbnn-runtime"
    assert [one.interpreter for one in converters.latency(path, runs=5)] == ["kbnn-runtime"]
    with pytest.raises(ValueError, match=r"Received: .*larq-compute-engine is not installed"):
        converters.verify(model, path, images(model, 4), interpreter="lce")


@pytest.mark.lce
def test_lces_interpreter_is_refused_with_numpy_2(converted, monkeypatch):
    monkeypatch.setattr(np, "__version__", "2.4.1")
    model, _ = converted
    assert interpreters.installed_interpreters() == ("kbnn-runtime",)
    expected = (
        "Expected an interpreter that can run the file: pip install kbnn-runtime. Received: "
        "interpreter='lce'; LCE's interpreter fails with NumPy 2, and NumPy 2.4.1 is installed"
    )
    for call in (
        lambda: converters.verify(model, "absent.tflite", None, interpreter="lce"),
        lambda: converters.latency("absent.tflite", interpreter=["lce"]),
    ):
        with pytest.raises(ValueError, match=re.escape(expected)):
            call()


def test_without_any_interpreter_the_work_does_not_begin(converted, without_lce, without_runtime):
    model, _ = converted
    for call in (
        lambda: converters.verify(model, "absent.tflite", None),
        lambda: converters.latency("absent.tflite"),
    ):
        with pytest.raises(ValueError, match="pip install kbnn-runtime"):
            call()


def test_lces_converter_is_asked_for_only_by_name(without_lce, tmp_path):
    path = tmp_path / "model.tflite"
    with pytest.raises(
        converters.ConversionError, match="pip install larq-compute-engine"
    ) as found:
        converters.convert(chain(), path, converter="lce")
    assert f"Python {platform.python_version()}" in str(found.value)
    assert not path.exists()
    model = chain()
    assert converters.convert(model, path, verify_data=images(model, 4)).report.parity.passed


def test_verify_data_without_an_interpreter_is_refused_before_the_conversion(
    without_runtime, monkeypatch, tmp_path
):
    monkeypatch.setattr(np, "__version__", "2.4.1")
    monkeypatch.setattr(write, "write_lce", None)
    model = chain()
    with pytest.raises(ValueError, match="Expected an interpreter that can run the file"):
        converters.convert(model, tmp_path / "model.tflite", verify_data=images(model, 4))


def test_an_unknown_interpreter_is_refused_before_any_work(converted):
    model, _ = converted
    for call in (
        lambda: converters.verify(model, "absent.tflite", None, interpreter="tflite"),
        lambda: converters.latency("absent.tflite", interpreter="tflite"),
    ):
        with pytest.raises(ValueError, match=r"Expected `interpreter` to be one of 'kbnn-runtime'"):
            call()


def test_a_failure_of_the_runtime_is_an_error_of_the_conversion(converted, monkeypatch):
    model, path = converted

    def fail(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(kbnn_runtime.Interpreter, "predict", fail)
    with pytest.raises(converters.ConversionError, match="kbnn-runtime failed: out of memory"):
        converters.verify(model, path, images(model, 4), interpreter="kbnn-runtime")


@pytest.mark.lce
def test_latency_is_measured_for_each_interpreter(converted):
    _, path = converted
    found = converters.latency(path, num_threads=2, runs=7)
    assert [(one.interpreter, one.num_threads, one.runs) for one in found] == [
        ("kbnn-runtime", 2, 7),
        ("lce", 1, 7),
    ]
    for one in found:
        assert 0 < one.percentile_10 <= one.median <= one.percentile_90
        assert json.dumps(one.to_dict())
    (alone,) = converters.latency(path, interpreter="lce", runs=5)
    assert alone.interpreter == "lce"


@pytest.mark.parametrize("argument", ["runs", "num_threads"])
@pytest.mark.parametrize("value", [0, 2.5, True])
def test_latency_refuses_numbers_out_of_range(converted, argument, value):
    with pytest.raises(ValueError, match=f"Expected `{argument}` to be an integer of at least"):
        converters.latency(converted[1], **{argument: value})


def test_latency_of_inputs_of_every_type(tmp_path):
    image = keras.Input((8, 8, 1), dtype=tf.uint8, name="image")
    index = keras.Input((), dtype=tf.int32, name="index")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.Concatenate()([x, keras.layers.Embedding(2, 3)(index)])
    model = keras.Model([image, index], keras.layers.Dense(2)(x))
    path = tmp_path / "model.tflite"
    converters.convert(model, path)
    found = converters.latency(path, runs=5)
    assert len(found) == len(interpreters.installed_interpreters())
